/**
 * Where does the time go? Each op's shortest time among many steps, which other programs disturb least, and their sum:
 * what a step takes where nothing disturbs it. One token per step is decoding, 512 are a piece of a prompt. On random
 * weights of a published size.
 *
 *     node benchmarks/profile.ts [mamba-130m [f16 [TOKENS [auto|simd|relaxed [THREADS]]]]]
 */
import { createWasmBackend, type WasmBuild } from '@mamba-ts/kernels';
import { findPreset, loadLanguageModel, randomWeights } from '@mamba-ts/layers';
import type { Backend, DType, OpName, Tensor, Weight } from '@mamba-ts/tensor';

const [preset = 'mamba-130m', dtype = 'f16', tokens = '1', build = 'auto', threads = '1'] = process.argv.slice(2);
const length = Number(tokens);
const [warmUp, steps] = length === 1 ? [20, 160] : [2, 6];
const backend = await createWasmBackend({ build: build as WasmBuild | 'auto', threads: Number(threads) });
const times = new Map<string, number[]>();
let measuring = false;
/** The backend with a watch on each op; matrices of one shape share an entry. */
const watched = { ...backend } as Record<string, unknown> & Backend;
for (const op of Object.keys(backend.describe().ops) as OpName[]) {
  const run = backend[op] as (...args: unknown[]) => Tensor;
  (watched as Record<string, unknown>)[op] = (...args: unknown[]): Tensor => {
    const started = performance.now();
    const y = run(...args);
    if (measuring) {
      const name = op === 'linear' ? `linear ${(args[1] as Weight).shape.join(' x ')}` : op;
      if (!times.has(name)) times.set(name, []);
      times.get(name)!.push(performance.now() - started);
    }
    return y;
  };
}

const { architecture, config } = await findPreset(preset);
const tree = architecture.createModel(architecture.parseConfig(config)).parameters;
const model = await loadLanguageModel(architecture, config, randomWeights(tree, dtype as DType, 1), watched, {});
const ids = new Int32Array(length).fill(5);
let state = model.createState();
for (let i = 0; i < warmUp + steps; i++) {
  measuring = i >= warmUp;
  // A prompt begins anew; a generated token goes on.
  if (length > 1) {
    state.dispose();
    state = model.createState();
  }
  await model.forward(ids, state, 'last');
}

const rows = [...times].map(([name, list]) => {
  const calls = list.length / steps;
  const best = Math.min(...list);
  return { name, calls, best, total: calls * best };
});
rows.sort((a, b) => b.total - a.total);
const sum = rows.reduce((total, row) => total + row.total, 0);
console.log(
  `${backend.describe().name}, ${preset}, ${dtype}, ${length} tokens per step: ${sum.toFixed(2)} ms per step`,
);
for (const { name, calls, best, total } of rows) {
  const share = `${((100 * total) / sum).toFixed(1)} %`;
  console.log(
    `  ${name.padEnd(22)}${total.toFixed(3).padStart(8)} ms ${share.padStart(7)}  ${calls} x ${(1000 * best).toFixed(1)} us`,
  );
}
const { decodeBytes, flopsPerToken, flopsHead } = model.summary();
const flops = length * flopsPerToken + flopsHead;
console.log(
  `  ${(decodeBytes / 1e6).toFixed(0)} MB of weights: ${(decodeBytes / 1e6 / sum).toFixed(1)} GB/s; ` +
    `${(flops / 1e9).toFixed(2)} GFLOP in products: ${(flops / 1e6 / sum).toFixed(1)} GFLOP/s`,
);
backend.dispose();
