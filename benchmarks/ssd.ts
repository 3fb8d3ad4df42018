/**
 * Is the matrix form of Mamba-2 worth it? `ssd` on the shape of mamba2-130m (24 heads of 64, 128 states, one group), once
 * in the matrix form and once as the recurrence (same SIMD, a tile of the state in registers). Which of them runs is the
 * kernel's choice: a state that grows, by however little, goes through the recurrence, and costs the same there.
 *
 *     node benchmarks/ssd.ts [TOKENS]
 */
import type { Weight } from '@mamba-ts/tensor';
import { createBench, measure, report, spread } from './measure.ts';

const [tokens = 2048] = process.argv.slice(2).map(Number);
const [heads, width, states] = [24, 64, 128];
const channels = heads * width;

const { backend, tensor, vector } = await createBench();
const state = { name: 'state', shape: [heads, width, states], offset: 0 };
const slot = backend.createSlot(channels * states);
const prepare = () => ({
  x: tensor(tokens, channels),
  dt: tensor(tokens, heads),
  B: tensor(tokens, states),
  C: tensor(tokens, states),
});
const decaying = vector([heads], (h) => -1 - h / 2);
const growing = vector([heads], () => 1e-4);
const D = vector([heads], () => 1);
const bias = vector([heads], () => -3);
const segments = [{ start: 0, length: tokens, slot, reset: false }];

const run =
  (A: Weight) =>
  ({ x, dt, B, C }: ReturnType<typeof prepare>): void =>
    void backend.ssd(x, dt, A, B, C, D, bias, [0, Number.POSITIVE_INFINITY], state, segments);
const times = await measure(backend, prepare, { 'matrix form': run(decaying), recurrence: run(growing) });
const perToken = (ms: readonly number[]): number[] => ms.map((value) => (1000 * value) / tokens);
report(`${backend.describe().name}, ${tokens} tokens, ${heads} heads of ${width}, ${states} states`, 'us per token', {
  'matrix form': perToken(times['matrix form']),
  recurrence: perToken(times.recurrence),
});
const ratios = times.recurrence.map((ms, i) => ms / times['matrix form'][i]!);
console.log(`  recurrence / matrix form     ${spread(ratios).median.toFixed(2)}`);
backend.dispose();
