import type { CacheField } from '../backend.ts';
import { poison } from './cases.ts';
import type { Random } from './random.ts';
import type { SequenceShape } from './sequence-ops.ts';
import { positionAt, type Sequence, type SequenceCase, sequenceCase, wholePlan } from './sequences.ts';

const NO_FIELD = { name: 'none', shape: [0], offset: 2 };

/** A sequence that goes on from a cache of `position` rows. */
export interface CachedShape extends SequenceShape {
  readonly position?: number;
}

export interface RopeOptions {
  readonly heads: number;
  readonly width: number;
  /** Pairs that turn. */
  readonly turned: number;
  readonly rotation: 'halves' | 'pairs';
  readonly sequences: readonly CachedShape[];
  readonly poisoned?: number;
}

export function ropeCase(random: Random, o: RopeOptions): SequenceCase {
  const { heads, width, turned, rotation } = o;
  const frequencies = Float64Array.from({ length: turned }, (_, i) => 10000 ** (-i / turned));
  const sequences = o.sequences.map(({ length, resets, position }): Sequence => {
    const x = random.floats(length * heads * width);
    poison(random, x, o.poisoned ?? 0);
    return { length, resets: resets ?? [], inputs: [x], initial: new Float32Array(0), position: position ?? 0 };
  });
  return sequenceCase({
    op: 'rope',
    label: `${heads} heads of ${width}, ${turned} ${rotation}, from ${o.sequences.map((s) => s.position ?? 0)}`,
    widths: [width],
    perToken: [heads],
    field: NO_FIELD,
    tail: 2,
    sequences,
    packed: false,
    plan: wholePlan(sequences),
    load:
      (scope) =>
      ([x], segments) =>
        scope.backend.rope(x!, frequencies, rotation, segments),
    bound: ({ inputs: [x], length }) => {
      const y = Float64Array.from(x!, Math.abs);
      for (let row = 0; row < length * heads; row++) {
        for (let i = 0; i < turned; i++) {
          const [a, b] = rotation === 'halves' ? [i, i + turned] : [2 * i, 2 * i + 1];
          const size = y[row * width + a]! + y[row * width + b]!;
          y[row * width + a] = size;
          y[row * width + b] = size;
        }
      }
      return { y, state: null };
    },
  });
}

export interface AttentionOptions {
  /** Heads of keys and values. */
  readonly heads: number;
  /** Query heads per head. */
  readonly group: number;
  readonly width: number;
  readonly sequences: readonly CachedShape[];
  readonly packed: boolean;
  readonly poisoned?: number;
}

export function attentionCase(random: Random, o: AttentionOptions): SequenceCase {
  const { heads, group, width } = o;
  const queries = heads * group;
  const scale = random.pick([1 / Math.sqrt(width), 0.3]);
  // Another layer's cache lies before it in every row.
  const before: CacheField = { name: 'before', heads: 1, width: 3, offset: 0 };
  const cache: CacheField = { name: 'cache', heads, width, offset: 6 };
  const row = 6 + 2 * heads * width;
  const sequences = o.sequences.map(({ length, resets, position = 0 }): Sequence => {
    const inputs = [queries, heads, heads].map((each) => random.floats(length * each * width));
    poison(random, random.pick(inputs), o.poisoned ?? 0);
    return { length, resets: resets ?? [], inputs, initial: random.floats(position * row), position };
  });
  return sequenceCase({
    op: 'attention',
    label: `${queries} over ${heads} heads of ${width}, from ${o.sequences.map((s) => s.position ?? 0)}`,
    widths: [width, width, width],
    perToken: [queries, heads, heads],
    field: NO_FIELD,
    caches: [before, cache],
    tail: 2,
    sequences,
    packed: o.packed && group === 1,
    plan: wholePlan(sequences),
    load:
      (scope) =>
      ([q, k, v], segments) =>
        scope.backend.attention(q!, k!, v!, scale, cache, segments),
    bound: (sequence) => ({ y: attentionBound(sequence, { queries, heads, width, row, scale }), state: null }),
  });
}

/**
 * First-order bound of the rounding errors of `y`, in units of the relative error of one operation. A score s errs by
 * E = scale |q| . |k| + |s - max|, its weight p by p E, and so does what all weights are divided by:
 *
 *     errY = sum_s p_s |v_s| (2 + E_s + sum_r p_r E_r)
 */
function attentionBound(
  sequence: Sequence,
  o: { queries: number; heads: number; width: number; row: number; scale: number },
): Float64Array {
  const { queries, heads, width, row, scale } = o;
  const [q, k, v] = sequence.inputs as [Float32Array, Float32Array, Float32Array];
  const y = new Float64Array(sequence.length * queries * width);
  for (let t = 0; t < sequence.length; t++) {
    const position = positionAt(sequence, t);
    for (let h = 0; h < queries; h++) {
      const head = Math.floor(h / (queries / heads));
      const at = (s: number, values: Float32Array, cached: number): Float32Array => {
        const fresh = t - position + s;
        const start = fresh < 0 ? s * row + 6 + cached : (fresh * heads + head) * width;
        return (fresh < 0 ? sequence.initial : values).subarray(start, start + width);
      };
      const query = q.subarray((t * queries + h) * width, (t * queries + h + 1) * width);
      const keys = Array.from({ length: position + 1 }, (_, s) => at(s, k, head * width));
      const scores = keys.map((key) => scale * key.reduce((sum, x, d) => sum + x * query[d]!, 0));
      const sizes = keys.map((key) => scale * key.reduce((sum, x, d) => sum + Math.abs(x * query[d]!), 0));
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      const errors = scores.map((score, s) => (weights[s] === 0 ? 0 : sizes[s]! + top - score));
      const mean = errors.reduce((sum, error, s) => sum + (weights[s]! / total) * error, 0);
      for (let s = 0; s <= position; s++) {
        const values = at(s, v, (heads + head) * width);
        for (let d = 0; d < width; d++) {
          const i = (t * queries + h) * width + d;
          y[i] = y[i]! + (weights[s]! / total) * Math.abs(values[d]!) * (2 + errors[s]! + mean);
        }
      }
    }
  }
  return y;
}
