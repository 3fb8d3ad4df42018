/**
 * How long does `mamba run` take from nothing to the first token of a GGUF file, beside the time to read that file? Writes one
 * of a published size with random weights; both start with it in the page cache, in turns. Wanted for mamba-130m in q8_0: at
 * most 1.5 times the reading. Build the command line before (`pnpm build`).
 *
 *     node benchmarks/load.ts [REPEATS] [SIZE] [DTYPE]
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeRandomGguf } from '../apps/cli/src/suite/random-gguf.ts';
import { report, spread } from './measure.ts';

const [repeats = '9', size = 'mamba-130m', dtype = 'q8_0'] = process.argv.slice(2);
const cli = fileURLToPath(new URL('../apps/cli/dist/cli.js', import.meta.url));

async function timed(work: () => unknown): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** In pieces of 8 MiB, as loading reads it, always into the same memory. */
function readAll(path: string): void {
  const piece = new Uint8Array(8 << 20);
  const file = openSync(path, 'r');
  while (readSync(file, piece) > 0);
  closeSync(file);
}

/** Milliseconds to the first byte on stdout: the prompt, which is printed once the logits of the first token are there. */
async function timeToFirstToken(path: string): Promise<number> {
  const args = [cli, 'run', 'a', '--model', path, '--max-tokens', '1', '--temperature', '0'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = once(child, 'exit');
  const ms = await timed(() => once(child.stdout, 'data'));
  child.stdout.resume();
  await ended;
  return ms;
}

const folder = mkdtempSync(join(tmpdir(), 'mamba-load-'));
try {
  process.stderr.write(`writing ${size} in ${dtype}\n`);
  const path = await writeRandomGguf(folder, size, dtype as 'q8_0', new AbortController().signal);
  const times = { read: [] as number[], node: [] as number[], token: [] as number[] };
  for (let i = 0; i <= Number(repeats); i++) {
    const read = await timed(() => readAll(path));
    const node = await timed(() => spawnSync(process.execPath, ['-e', '0']));
    const token = await timeToFirstToken(path);
    if (i === 0) continue; // files come into the page cache
    times.read.push(read);
    times.node.push(node);
    times.token.push(token);
  }
  report(`${size}, ${dtype}, ${(statSync(path).size / 1e6).toFixed(0)} MB, ${repeats} starts`, 'ms', {
    'reading the file': times.read,
    'node, doing nothing': times.node,
    'to the first token': times.token,
  });
  const ratio = (values: readonly number[]): string => spread(values).median.toFixed(1);
  console.log(
    `  ${ratio(times.token.map((ms, i) => ms / times.read[i]!))} times the reading; without the start of node ` +
      `${ratio(times.token.map((ms, i) => (ms - times.node[i]!) / times.read[i]!))} (at most 1.5 wanted)`,
  );
} finally {
  rmSync(folder, { recursive: true });
}
