// Do the committed .wasm files belong to rust-wasm/? Where the recorded hashes still hold, this is quick; where they do
// not, with --rebuild, or with FULL=1, everything is built anew with the pinned tools and the bytes are compared.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAll, builds, currentHashes, ensureTools, output, recordedHashes } from './wasm-builds.mjs';

const same = JSON.stringify(currentHashes()) === JSON.stringify(recordedHashes());
const rebuild = process.argv.includes('--rebuild') || process.env.FULL === '1';

if (same && !rebuild) {
  console.error('The .wasm files match the recorded hashes.');
  process.exit(0);
}
ensureTools();
const folder = mkdtempSync(join(tmpdir(), 'mamba-check-'));
try {
  buildAll(folder);
  const different = builds.filter(
    ({ name }) => !readFileSync(join(folder, `${name}.wasm`)).equals(readFileSync(join(output, `${name}.wasm`))),
  );
  if (different.length > 0 || !same) {
    const names = different.map(({ name }) => `${name}.wasm`).join(', ');
    const found =
      names === '' ? 'the hashes are out of date, the bytes are the same' : `${names} is not what rust-wasm/ builds`;
    console.error(`packages/kernels/wasm: ${found}. Run \`pnpm build:wasm\` and commit the result.`);
    process.exit(1);
  }
  console.error(`Rebuilt ${builds.length} .wasm, the bytes are the same.`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
