/**
 * How long does a model take from nothing to its first token, beside the time to read its file? Writes a GGUF file of a
 * published size with random weights, and in a fresh process for each repetition reads it, warm from the page cache, then
 * opens, loads and continues a prompt of one token. Wanted for mamba-130m in q8_0: at most 1.5 times the reading.
 *
 *     node benchmarks/load.ts [REPEATS] [SIZE] [DTYPE]
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { report, spread } from './measure.ts';

/** Milliseconds: of reading the file, of loading the model and of its first token after that. */
interface Times {
  readonly read: number;
  readonly load: number;
  readonly token: number;
}

/** The file in pieces of 8 MiB, as loading reads it, into the same memory. */
function readAll(path: string): void {
  const piece = new Uint8Array(8 << 20);
  const file = openSync(path, 'r');
  while (readSync(file, piece) > 0);
  closeSync(file);
}

/** What one process does. */
async function child(path: string): Promise<Times> {
  const { fromPretrained } = await import('mamba-ts');
  readAll(path);
  const reading = performance.now();
  readAll(path);
  const read = performance.now() - reading;
  const started = performance.now();
  const model = await fromPretrained(path, { worker: false });
  const loaded = performance.now();
  await model.generate([1], { maxTokens: 1, temperature: 0 });
  const ended = performance.now();
  await model.dispose();
  return { read, load: loaded - started, token: ended - loaded };
}

const [first = '', ...rest] = process.argv.slice(2);
if (first === '--child') {
  console.log(JSON.stringify(await child(rest[0]!)));
  process.exit(0);
}
const [repeats, size = 'mamba-130m', dtype = 'q8_0'] = [Number(first || 9), ...rest];
const { writeRandomGguf } = await import('../apps/cli/src/suite/random-gguf.ts');
const folder = mkdtempSync(join(tmpdir(), 'mamba-load-'));
try {
  process.stderr.write(`writing ${size} in ${dtype}\n`);
  const path = await writeRandomGguf(folder, size, dtype as 'q8_0', new AbortController().signal);
  const runs: Times[] = [];
  for (let i = 0; i < repeats; i++) {
    const out = execFileSync(process.execPath, [fileURLToPath(import.meta.url), '--child', path], { encoding: 'utf8' });
    runs.push(JSON.parse(out));
  }
  report(`${size}, ${dtype}, ${(statSync(path).size / 1e6).toFixed(0)} MB, ${repeats} processes`, 'ms', {
    'reading the file': runs.map(({ read }) => read),
    loading: runs.map(({ load }) => load),
    'the first token': runs.map(({ token }) => token),
    'from nothing to it': runs.map(({ load, token }) => load + token),
  });
  const { median } = spread(runs.map(({ read, load, token }) => (load + token) / read));
  console.log(`  ${median.toFixed(2)} times the reading (at most 1.5 wanted)`);
} finally {
  rmSync(folder, { recursive: true });
}
