import { vector } from '../weights.ts';
import { absolute } from './bounds.ts';
import { type OpCase, type Pad, padWords, poison, scoped } from './cases.ts';
import type { Random } from './random.ts';

export function layerNormCase(
  random: Random,
  rows: number,
  channels: number,
  eps: number,
  bias: boolean,
  pad: Pad,
  poisoned = 0,
): OpCase {
  const scale = random.pick([1e-3, 1, 1, 100]);
  const shift = random.pick([0, 1, 10]) * scale;
  const x = random.floats(rows * channels, shift - scale, shift + scale);
  if (rows > 0 && random.chance(0.05)) x.fill(0, 0, channels);
  const w = random.floats(channels);
  const b = bias ? random.floats(channels) : null;
  poison(random, x, poisoned);
  return {
    op: 'layerNorm',
    label: `[${rows}, ${channels}], eps ${eps}${bias ? ' + bias' : ''}${padWords(pad)}`,
    run: (backend) =>
      scoped(backend, async (scope) => {
        const weight = scope.weight(vector('w', [channels]), w);
        const offsets = scope.vector('bias', [channels], b);
        const input = scope.view(x, rows, channels, pad.left, pad.right);
        return { y: await scope.read(backend.layerNorm(input, weight, offsets, eps)) };
      }),
    // What the mean takes off x, and what the variance inherits from that.
    bounds: async () => {
      const y = new Float64Array(x.length);
      for (let t = 0; t < rows; t++) {
        const row = Array.from(x.subarray(t * channels, (t + 1) * channels));
        const average = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / channels;
        const mean = average(row);
        const size = average(row.map(Math.abs));
        const root = Math.sqrt(average(row.map((v) => (v - mean) ** 2)) + eps);
        const spread = Math.sqrt(average(row.map((v) => (Math.abs(v) + size) ** 2))) / root;
        for (const [c, v] of row.entries()) {
          const normed = (Math.abs(v) + size) / root + Math.abs((v - mean) / root) * (2 + spread);
          y[t * channels + c] = normed * Math.abs(w[c]!) + Math.abs(b?.[c] ?? 0);
        }
      }
      return { y };
    },
  };
}

export function geluCase(
  random: Random,
  rows: number,
  channels: number,
  form: 'erf' | 'tanh',
  pad: Pad,
  poisoned = 0,
): OpCase {
  const x = random.floats(rows * channels, -8, 8);
  poison(random, x, poisoned);
  return {
    op: 'gelu',
    label: `[${rows}, ${channels}] ${form}${padWords(pad)}`,
    run: (backend) =>
      scoped(backend, async (scope) => ({
        y: await scope.read(backend.gelu(scope.view(x, rows, channels, pad.left, pad.right), form)),
      })),
    // x / 2, and x / 2 times the error function, which may cancel.
    bounds: async () => ({ y: absolute(x) }),
  };
}
