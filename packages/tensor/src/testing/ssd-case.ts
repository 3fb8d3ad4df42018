import { vector } from '../weights.ts';
import { scanBounds } from './bounds.ts';
import { poison } from './cases.ts';
import type { Random } from './random.ts';
import { makeStill, type SequenceShape } from './sequence-ops.ts';
import { type Sequence, type SequenceCase, sequenceCase, wholePlan } from './sequences.ts';

export interface SsdOptions {
  readonly heads: number;
  /** P, channels per head. */
  readonly width: number;
  readonly states: number;
  readonly groups: number;
  /** D: none, one number per head, or one per channel. */
  readonly skip: 'none' | 'head' | 'channel';
  readonly bias: boolean;
  readonly limit: readonly [low: number, high: number];
  readonly sequences: readonly SequenceShape[];
  readonly packed: boolean;
  /** Step sizes at +-100 and around 20 among the others. */
  readonly extremes?: boolean;
  /** As of `ScanOptions`. */
  readonly skipBelow?: number;
  readonly poisoned?: number;
}

export function ssdCase(random: Random, o: SsdOptions): SequenceCase {
  const { heads, width, states, groups } = o;
  const channels = heads * width;
  // Moderate, so that with an infinity about, no factor beside it underflows in f32 alone.
  const A = random.floats(heads, o.extremes ? -16 : -2, o.extremes ? -0.01 : -0.1);
  const D = o.skip === 'none' ? null : random.floats(o.skip === 'head' ? heads : channels);
  const bias = o.bias ? random.floats(heads, -0.5, 0.5) : null;
  const field = { name: 'ssm', shape: [heads, width, states], offset: random.pick([0, 5]) };
  const sequences = o.sequences.map(({ length, resets }): Sequence => {
    const dt = random.floats(length * heads, -4, 2);
    if (o.extremes) {
      for (let i = 0; i < dt.length; i += 3) {
        dt[i] = random.pick([-100, 100, 19.5, 19.999, 20, 20.001, 20.5, -20, -88, 88]);
      }
    }
    const x = random.floats(length * channels);
    if (o.skipBelow !== undefined) makeStill(random, dt, x, width);
    const inputs = [x, dt, random.floats(length * groups * states), random.floats(length * groups * states)];
    poison(random, random.pick(inputs), o.poisoned ?? 0);
    return { length, resets: resets ?? [], inputs, initial: random.floats(channels * states) };
  });
  return sequenceCase({
    op: 'ssd',
    label: `${heads} heads of ${width}, ${states} states, ${groups} groups, D ${o.skip}${o.bias ? ' + bias' : ''}, dt in [${o.limit}]`,
    widths: [channels, heads, groups * states, groups * states],
    field,
    skipBelow: o.skipBelow,
    tail: 3,
    sequences,
    packed: o.packed,
    plan: wholePlan(sequences),
    load: (scope, skipping) => {
      const a = scope.weight(vector('A', [heads]), A);
      const d = scope.vector('D', [D?.length ?? 0], D);
      const b = scope.vector('dtBias', [heads], bias);
      return ([x, dt, B, C], segments) =>
        scope.backend.ssd(x!, dt!, a, B!, C!, d, b, o.limit, field, segments, skipping);
    },
    // Each head is a selective scan with one A and one step size for all of its channels.
    bound: ({ inputs: [x, dt, B, C], length, resets, initial }) => {
      const y = new Float64Array(length * channels);
      const state = new Float64Array(channels * states);
      /** Columns `start` to `start + size` of `[length, total]`. */
      const part = (values: Float32Array, total: number, start: number, size: number): Float32Array =>
        Float32Array.from(
          { length: length * size },
          (_, i) => values[Math.floor(i / size) * total + start + (i % size)]!,
        );
      for (let h = 0; h < heads; h++) {
        const group = Math.floor(h / (heads / groups));
        const head = scanBounds({
          u: part(x!, channels, h * width, width),
          delta: Float32Array.from({ length: length * width }, (_, i) => dt![Math.floor(i / width) * heads + h]!),
          A: new Float32Array(width * states).fill(A[h]!),
          B: part(B!, groups * states, group * states, states),
          C: part(C!, groups * states, group * states, states),
          D: D && (o.skip === 'head' ? new Float32Array(width).fill(D[h]!) : D.subarray(h * width, (h + 1) * width)),
          z: null,
          deltaBias: bias && new Float32Array(width).fill(bias[h]!),
          deltaSoftplus: true,
          limit: o.limit,
          rows: length,
          channels: width,
          states,
          initial: initial.subarray(h * width * states, (h + 1) * width * states),
          resets,
        });
        state.set(head.state, h * width * states);
        for (let i = 0; i < head.y.length; i++)
          y[Math.floor(i / width) * channels + h * width + (i % width)] = head.y[i]!;
      }
      return { y, state };
    },
  });
}
