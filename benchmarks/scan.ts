/**
 * What does WebAssembly cost the selective scan? The kernel against the same algorithm in C (scan.c, compiled with
 * `cc -O3 -msse4.2 -mfma`: 128 bits and multiply-adds as WebAssembly has them), on the shape of mamba-130m: 1536 channels,
 * 16 states, skip, gate, bias and softplus. They take turns. Needs a C compiler.
 *
 *     node benchmarks/scan.ts [TOKENS]
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Tensor } from '@mamba-ts/tensor';
import { createBench, report, spread, valueAt } from './measure.ts';

const [tokens = 2048] = process.argv.slice(2).map(Number);
const [channels, states, repeats] = [1536, 16, 30];

const folder = mkdtempSync(join(tmpdir(), 'mamba-scan-'));
const program = join(folder, 'scan');
const source = fileURLToPath(new URL('scan.c', import.meta.url));
execFileSync('cc', ['-O3', '-msse4.2', '-mfma', '-o', program, source, '-lm'], { stdio: 'inherit' });
const native = spawn(program, [String(tokens), String(channels)], { stdio: ['pipe', 'pipe', 'inherit'] });
const answers = createInterface({ input: native.stdout })[Symbol.asyncIterator]();

/** Nanoseconds of one scan in C, and the sum of what it computed. */
async function inC(): Promise<{ ns: number; sum: number }> {
  native.stdin.write('\n');
  const [ns, sum] = String((await answers.next()).value)
    .split(' ')
    .map(Number);
  return { ns: ns!, sum: sum! };
}

const { backend, tensor, vector } = await createBench();
const field = { name: 'h', shape: [channels, states], offset: 0 };
const slot = backend.createSlot(channels * states);
const [A, D] = [vector([channels, states], (i) => -1 - (i % states)), vector([channels], valueAt)];
const bias = vector([channels], (i) => 0.1 * valueAt(i));
const segments = [{ start: 0, length: tokens, slot, reset: true }];

/** Milliseconds of one scan, its inputs made anew after the end of a step, so that it need not ask for memory. */
function inWasm(): { ms: number; y: Tensor } {
  backend.endStep();
  const [u, z] = [tensor(tokens, channels), tensor(tokens, channels)];
  const delta = tensor(tokens, channels, -3);
  const [B, C] = [tensor(tokens, states), tensor(tokens, states)];
  const started = performance.now();
  const y = backend.selectiveScan(u, delta, A, B, C, D, z, bias, true, field, segments);
  return { ms: performance.now() - started, y };
}

const sum = (await backend.read(inWasm().y)).reduce((total, value) => total + value, 0);
const expected = await inC();
if (!(Math.abs(sum - expected.sum) <= 1e-4 * Math.abs(expected.sum)))
  throw new Error(`the two do not compute the same: sums of y are ${sum} and ${expected.sum}`);
for (let i = 0; i < 3; i++) {
  inWasm();
  await new Promise((resolve) => setTimeout(resolve, 50));
}

const rates: { wasm: number[]; c: number[] } = { wasm: [], c: [] };
for (let i = 0; i < repeats; i++) {
  rates.wasm.push((1e6 * inWasm().ms) / tokens / channels);
  rates.c.push((await inC()).ns / tokens / channels);
}
native.stdin.end();
rmSync(folder, { recursive: true });
const { name } = backend.describe();
report(`${name}, ${tokens} tokens, ${channels} channels, ${states} states`, 'ns per token and channel', {
  [name]: rates.wasm,
  C: rates.c,
});
const ratios = rates.wasm.map((ns, i) => ns / rates.c[i]!);
const best = spread(rates.wasm).min / spread(rates.c).min;
console.log(`  ${name} / C: ${spread(ratios).median.toFixed(2)}, at their best ${best.toFixed(2)}`);
backend.dispose();
