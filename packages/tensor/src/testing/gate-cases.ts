import type { Backend } from '../backend.ts';
import { sigmoid } from '../reference/ops/scalar.ts';
import { vector } from '../weights.ts';
import { absolute } from './bounds.ts';
import { type OpCase, type Outcome, type Pad, padWords, poison, scoped } from './cases.ts';
import type { Random } from './random.ts';

export function mimoGateCase(
  random: Random,
  rows: number,
  [heads, rank, width]: readonly [heads: number, rank: number, width: number],
  left: Pad,
  right: Pad,
  poisoned = 0,
): OpCase {
  const channels = heads * width;
  const y = random.floats(rows * rank * channels);
  const gate = random.floats(rows * channels, -8, 8);
  const wGate = random.floats(channels * rank);
  const wOut = random.floats(channels * rank);
  poison(random, y, poisoned);
  poison(random, gate, poisoned);
  const call = (backend: Backend, ys: Float32Array, outs: Float32Array): Promise<Outcome> =>
    scoped(backend, async (scope) => {
      const ranks = scope.view(ys, rows, rank * channels, left.left, left.right);
      const gates = scope.view(gate, rows, channels, right.left, right.right);
      const [a, b] = [
        scope.weight(vector('a', [heads, rank, width]), wGate),
        scope.weight(vector('b', [heads, rank, width]), outs),
      ];
      return { y: await scope.read(backend.mimoGate(ranks, gates, a, b)) };
    });
  return {
    op: 'mimoGate',
    label: `${rows} rows, ${heads} heads of ${width}, rank ${rank}${padWords(left)}${padWords(right)}`,
    run: (backend) => call(backend, y, wOut),
    bounds: async () => ({ y: mimoGateBounds(y, gate, wGate, wOut, [heads, rank, width]) }),
  };
}

/** The sum of the magnitudes, each with the error that silu hands on from its argument's rounding. */
function mimoGateBounds(
  y: Float32Array,
  gate: Float32Array,
  wGate: Float32Array,
  wOut: Float32Array,
  [heads, rank, width]: readonly [heads: number, rank: number, width: number],
): Float64Array {
  const channels = heads * width;
  return Float64Array.from(gate, (z, i) => {
    const [t, c] = [Math.floor(i / channels), i % channels];
    let sum = 0;
    for (let r = 0; r < rank; r++) {
      const w = (Math.floor(c / width) * rank + r) * width + (c % width);
      const turn = z * wGate[w]!;
      const silu = Math.abs(turn) * sigmoid(turn);
      sum +=
        Math.abs(y[t * rank * channels + r * channels + c]! * wOut[w]!) *
        silu *
        (2 + Math.abs(turn) * (1 - sigmoid(turn)));
    }
    return sum;
  });
}

export function siluGateCase(
  random: Random,
  rows: number,
  channels: number,
  left: Pad,
  right: Pad,
  poisoned = 0,
): OpCase {
  const x = random.floats(rows * channels);
  const gate = random.floats(rows * channels, -8, 8);
  // Either or: with an infinity about, a gate that underflows in f32 alone would matter.
  if (gate.length > 0 && random.chance(0.2)) gate[0] = random.pick([-100, -88, 88, 100]);
  else {
    poison(random, x, poisoned);
    poison(random, gate, poisoned);
  }
  const run = (backend: Backend): Promise<Outcome> =>
    scoped(backend, async (scope) => {
      const values = scope.view(x, rows, channels, left.left, left.right);
      const gates = scope.view(gate, rows, channels, right.left, right.right);
      return { y: await scope.read(backend.siluGate(values, gates)) };
    });
  return {
    op: 'siluGate',
    label: `[${rows}, ${channels}]${padWords(left)}${padWords(right)}`,
    run,
    // Nothing is summed: the result is its own magnitude.
    bounds: async (exact) => ({ y: absolute((await run(exact)).y!) }),
  };
}

export function concatCase(random: Random, rows: number, left: number, right: number, pad: Pad, poisoned = 0): OpCase {
  const a = random.floats(rows * left);
  const b = random.floats(rows * right);
  poison(random, a, poisoned);
  return {
    op: 'concat',
    label: `[${rows}, ${left}] [${rows}, ${right}]${padWords(pad)}`,
    run: (backend) =>
      scoped(backend, async (scope) => {
        const x = scope.view(a, rows, left, pad.left, pad.right);
        const y = scope.view(b, rows, right, pad.right, pad.left);
        return { y: await scope.read(backend.concat(x, y)) };
      }),
    bounds: async () => ({}),
  };
}
