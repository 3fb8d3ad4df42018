/**
 * Mutants of a safetensors file through our reader and Python's: nothing may be accepted that Python refuses, what both
 * accept must be equal, and every error must be a typed one. Prints how often each error code came.
 *
 *     node packages/loaders/scripts/differential.ts [MUTANTS] [SEED] [PYTHON]
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { isMambaError } from '@mamba-ts/tensor';
import { mutantOf } from '../../../fuzz/fuzz.ts';
import { safetensors } from '../../../fuzz/targets/safetensors.ts';
import { memorySource, openSafetensors } from '../src/index.ts';

const count = Number(process.argv[2] ?? 20_000);
const seed = Number(process.argv[3] ?? 1);
const python = spawn(process.argv[4] ?? 'python3', [new URL('differential.py', import.meta.url).pathname], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const theirs = createInterface({ input: python.stdout })[Symbol.asyncIterator]();

const codes = new Map<string, number>();
const stats = { both: 0, neither: 0, stricter: 0, wrong: 0, slowest: 0 };
const samples = new Map<string, string>();

for (let done = 0; done < count; ) {
  const batch = Array.from(
    { length: Math.min(500, count - done) },
    (_, i) => mutantOf(safetensors, seed, done + i).file,
  );
  done += batch.length;
  for (const file of batch) {
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(file.length);
    python.stdin.write(prefix);
    python.stdin.write(file);
  }
  for (const file of batch) {
    let ours: Record<string, unknown> | null = null;
    let code = 'accepted';
    const started = performance.now();
    try {
      const opened = await openSafetensors(memorySource('mutant', file));
      ours = Object.fromEntries(
        [...opened.tensors.values()].map((t) => {
          const data = file.subarray(opened.dataStart + t.begin, opened.dataStart + t.end);
          return [t.name, [t.dtype, t.shape, createHash('sha256').update(data).digest('hex')]];
        }),
      );
    } catch (error) {
      code = isMambaError(error) ? error.code : 'UNTYPED';
      if (code === 'UNTYPED') console.error(error);
    }
    stats.slowest = Math.max(stats.slowest, performance.now() - started);
    codes.set(code, (codes.get(code) ?? 0) + 1);
    const line = await theirs.next();
    if (line.done) throw new Error('Python ended early');
    const reference = JSON.parse(line.value) as Record<string, unknown> | null;
    const sorted = (value: Record<string, unknown>): string => JSON.stringify(Object.entries(value).sort());
    if (ours && (!reference || sorted(ours) !== sorted(reference))) {
      stats.wrong++;
      console.error('ACCEPTED WRONGLY', new TextDecoder().decode(file.subarray(8)).slice(0, 600));
    } else if (ours) stats.both++;
    else if (reference) {
      stats.stricter++;
      if (!samples.has(code)) samples.set(code, new TextDecoder().decode(file.subarray(8)).slice(0, 300));
    } else stats.neither++;
  }
}
python.stdin.end();
console.log(JSON.stringify({ count, seed, ...stats, codes: Object.fromEntries([...codes].sort()) }, null, 2));
if (process.env.SAMPLES) console.log(samples);
process.exitCode = stats.wrong > 0 || codes.has('UNTYPED') ? 1 : 0;
