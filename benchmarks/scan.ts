/**
 * What does WebAssembly cost the selective scan? The kernel against the same algorithm in C (scan.c, compiled with
 * `cc -O3 -msse4.2 -mfma`: 128 bits and multiply-adds as WebAssembly has them) and against a sequential PyTorch loop at its
 * best (scan.py), on the shape of mamba-130m: 1536 channels, 16 states, skip, gate, bias and softplus. They take turns, each
 * on one thread. Needs a C compiler, and Python 3: PyTorch is installed into a cache folder unless PYTHON names an
 * interpreter that has it.
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
import { pythonWithTorch } from './python.ts';

const [tokens = 2048] = process.argv.slice(2).map(Number);
const [channels, states, repeats] = [1536, 16, 30];

const folder = mkdtempSync(join(tmpdir(), 'mamba-scan-'));
const program = join(folder, 'scan');
const source = fileURLToPath(new URL('scan.c', import.meta.url));
execFileSync('cc', ['-O3', '-msse4.2', '-mfma', '-o', program, source, '-lm'], { stdio: 'inherit' });

/** A program that answers each line with the nanoseconds of one scan and the sum of what it computed. */
function rival(command: string, args: readonly string[]) {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async scan(): Promise<{ ns: number; sum: number }> {
      child.stdin.write('\n');
      const answer = await answers.next();
      if (answer.done) throw new Error(`${command} ended without an answer`);
      const [ns, sum] = String(answer.value).split(' ').map(Number);
      return { ns: ns!, sum: sum! };
    },
    end: () => child.stdin.end(),
  };
}

const native = rival(program, [String(tokens), String(channels)]);
const loop = fileURLToPath(new URL('scan.py', import.meta.url));
const torch = rival(pythonWithTorch(), [loop, String(tokens), String(channels), String(states)]);

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
for (const [name, { scan }] of Object.entries({ C: native, PyTorch: torch })) {
  const expected = (await scan()).sum;
  if (!(Math.abs(sum - expected) <= 1e-4 * Math.abs(expected)))
    throw new Error(`WebAssembly and ${name} do not compute the same: sums of y are ${sum} and ${expected}`);
}
for (let i = 0; i < 3; i++) {
  inWasm();
  await new Promise((resolve) => setTimeout(resolve, 50));
}

const rates: { wasm: number[]; c: number[]; torch: number[] } = { wasm: [], c: [], torch: [] };
for (let i = 0; i < repeats; i++) {
  rates.wasm.push((1e6 * inWasm().ms) / tokens / channels);
  rates.c.push((await native.scan()).ns / tokens / channels);
  rates.torch.push((await torch.scan()).ns / tokens / channels);
}
native.end();
torch.end();
rmSync(folder, { recursive: true });
const { name } = backend.describe();
report(`${name}, ${tokens} tokens, ${channels} channels, ${states} states`, 'ns per token and channel', {
  [name]: rates.wasm,
  C: rates.c,
  'PyTorch, sequential': rates.torch,
});
const [wasm, c, python] = [spread(rates.wasm), spread(rates.c), spread(rates.torch)];
console.log(
  `  ${name} / C: ${(wasm.median / c.median).toFixed(2)}, at their best ${(wasm.min / c.min).toFixed(2)} (wanted: at most 1.25)`,
);
console.log(
  `  PyTorch / ${name}: ${(python.median / wasm.median).toFixed(2)}, at their best ${(python.min / wasm.min).toFixed(2)} (wanted: at least 3)`,
);
backend.dispose();
