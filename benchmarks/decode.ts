/**
 * Where does a decoded token's time go? Each op's shortest time among 160 tokens, which other programs disturb least, and
 * their sum: what a token takes where nothing disturbs it, as a share of the time that reading its weights takes at the
 * best. On random weights of a published size.
 *
 *     node benchmarks/decode.ts [mamba-130m [f16 [auto|simd|relaxed]]]
 */
import { createWasmBackend, measureLimits, type WasmBuild } from '@mamba-ts/kernels';
import { findPreset, loadLanguageModel, randomWeights } from '@mamba-ts/layers';
import type { Backend, DType, OpName, Tensor, Weight } from '@mamba-ts/tensor';

const WARM_UP = 20;
const TOKENS = 160;
const [preset = 'mamba-130m', dtype = 'f16', build = 'auto'] = process.argv.slice(2);
const limits = [];
for (let i = 0; i < 3; i++) limits.push(await measureLimits({ build: build as WasmBuild | 'auto' }));

const backend = await createWasmBackend({ build: build as WasmBuild | 'auto' });
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
const state = model.createState();
const id = Int32Array.of(5);
for (let i = 0; i < WARM_UP + TOKENS; i++) {
  measuring = i >= WARM_UP;
  await model.forward(id, state, 'last');
}

const rows = [...times].map(([name, list]) => {
  const calls = list.length / TOKENS;
  const best = Math.min(...list);
  return { name, calls, best, total: calls * best };
});
rows.sort((a, b) => b.total - a.total);
const sum = rows.reduce((total, row) => total + row.total, 0);
console.log(`${backend.describe().name}, ${preset}, ${dtype}: ${sum.toFixed(2)} ms per token`);
for (const { name, calls, best, total } of rows) {
  const share = `${((100 * total) / sum).toFixed(1)} %`;
  console.log(
    `  ${name.padEnd(22)}${total.toFixed(3).padStart(8)} ms ${share.padStart(7)}  ${calls} x ${(1000 * best).toFixed(1)} us`,
  );
}
const readGbS = Math.max(...limits.map((limit) => limit.readGbS));
const { decodeBytes } = model.summary();
console.log(
  `  ${(decodeBytes / 1e6).toFixed(0)} MB of weights at ${readGbS.toFixed(1)} GB/s: ratio ${(decodeBytes / (1e6 * sum * readGbS)).toFixed(2)}`,
);
backend.dispose();
