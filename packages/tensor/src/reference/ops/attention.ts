import type { CacheField } from '../../backend.ts';
import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/** One segment with the rows of its slot. */
export interface CachedRun {
  readonly start: number;
  readonly length: number;
  readonly position: number;
  /** `[rows, rowLength]`, with memory for `position + length` rows. */
  readonly rows: FloatArray;
}

/**
 * Adds the keys and values of each run's tokens to its rows, then
 *
 *     y[t, h] = sum_s softmax_s(scale q[t, h] . k[s, g]) v[s, g],   s = 0 .. position of t,   g = floor(h / (H / G))
 *
 * q `[T H, D]`, k and v `[T G, D]`; a cached row holds keys `[G, D]`, then values `[G, D]`, from `cache.offset` on
 * -> y `[T H, D]`. Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023.
 */
export function attention(
  q: Matrix,
  k: Matrix,
  v: Matrix,
  scale: number,
  cache: CacheField,
  rowLength: number,
  runs: readonly CachedRun[],
  y: FloatArray,
): void {
  const { heads: groups, width, offset } = cache;
  const heads = (q.rows / k.rows) * groups;
  for (const { start, length, position, rows } of runs) {
    for (let t = 0; t < length; t++) {
      const row = (position + t) * rowLength + offset;
      for (let i = 0; i < groups * width; i++) {
        const from = (start + t) * groups + Math.floor(i / width);
        rows[row + i] = k.data[k.offset + from * k.stride + (i % width)]!;
        rows[row + groups * width + i] = v.data[v.offset + from * v.stride + (i % width)]!;
      }
    }
    for (let t = 0; t < length; t++) {
      for (let h = 0; h < heads; h++) {
        const query = q.offset + ((start + t) * heads + h) * q.stride;
        const keys = offset + Math.floor(h / (heads / groups)) * width;
        const values = keys + groups * width;
        const scores = new Float64Array(position + t + 1);
        for (let s = 0; s < scores.length; s++) {
          let dot = 0;
          for (let d = 0; d < width; d++) dot += q.data[query + d]! * rows[s * rowLength + keys + d]!; // [D] . [D] -> scalar
          scores[s] = scale * dot;
        }
        const top = scores.reduce((max, score) => Math.max(max, score), Number.NEGATIVE_INFINITY);
        const weights = scores.map((score) => Math.exp(score - top));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const out = ((start + t) * heads + h) * width;
        for (let d = 0; d < width; d++) {
          let sum = 0;
          for (let s = 0; s < scores.length; s++) sum += (weights[s]! / total) * rows[s * rowLength + values + d]!;
          y[out + d] = sum;
        }
      }
    }
  }
}

/** One segment of a pass whose gradient is wanted, with the rows of its slot. */
export interface CachedBackwardRun extends CachedRun {
  readonly sequence: unknown;
  /** The gradient to the rows, `[rows, rowLength]`: to those that the pass found it is left, to its own it goes to k and v. */
  readonly gradients: FloatArray;
}

/** Gradients of `attention` to q, k, v and the cached rows before. dy `[T H, D]`. */
export function attentionBackward(
  q: Matrix,
  k: Matrix,
  v: Matrix,
  scale: number,
  cache: CacheField,
  rowLength: number,
  runs: readonly CachedBackwardRun[],
  dy: Matrix,
  dq: Matrix | null,
  dk: Matrix | null,
  dv: Matrix | null,
): void {
  const { heads: groups, width, offset } = cache;
  const heads = (q.rows / k.rows) * groups;
  const y = new Float64Array(q.rows * width);
  // The rows as each run saw them: a later one of the same sequence may write over them after a reset.
  const current = new Map<unknown, FloatArray>();
  const seen = runs.map((run) => {
    const rows = current.get(run.sequence) ?? run.rows.slice(0, run.position * rowLength);
    const grown = run.gradients.slice(0, (run.position + run.length) * rowLength).fill(0);
    grown.set(rows.subarray(0, run.position * rowLength));
    attention(q, k, v, scale, cache, rowLength, [{ ...run, rows: grown }], y);
    current.set(run.sequence, grown);
    return grown;
  });
  for (const [i, run] of [...runs.entries()].reverse()) {
    const rows = seen[i]!;
    for (let t = 0; t < run.length; t++) {
      for (let h = 0; h < heads; h++) {
        const row = (run.start + t) * heads + h;
        const keys = offset + Math.floor(h / (heads / groups)) * width;
        const values = keys + groups * width;
        const dot = (x: Matrix, s: number, column: number): number => {
          let sum = 0;
          for (let d = 0; d < width; d++)
            sum += x.data[x.offset + row * x.stride + d]! * rows[s * rowLength + column + d]!;
          return sum;
        };
        const scores = Float64Array.from({ length: run.position + t + 1 }, (_, s) => scale * dot(q, s, keys));
        const top = scores.reduce((max, score) => Math.max(max, score), Number.NEGATIVE_INFINITY);
        const exps = scores.map((score) => Math.exp(score - top));
        const total = exps.reduce((sum, value) => sum + value, 0);
        const weights = exps.map((value) => value / total);
        const dWeights = scores.map((_, s) => dot(dy, s, values));
        const mean = weights.reduce((sum, weight, s) => sum + weight * dWeights[s]!, 0);
        for (let s = 0; s < scores.length; s++) {
          const dScore = scale * weights[s]! * (dWeights[s]! - mean);
          for (let d = 0; d < width; d++) {
            run.gradients[s * rowLength + values + d]! += weights[s]! * dy.data[dy.offset + row * dy.stride + d]!;
            run.gradients[s * rowLength + keys + d]! += dScore * q.data[q.offset + row * q.stride + d]!;
            accumulate(dq, row, d, dScore * rows[s * rowLength + keys + d]!);
          }
        }
      }
    }
    for (let t = 0; t < run.length; t++) {
      for (let g = 0; g < groups; g++) {
        for (let d = 0; d < width; d++) {
          const at = (run.position + t) * rowLength + offset + g * width + d;
          accumulate(dk, (run.start + t) * groups + g, d, run.gradients[at]!);
          accumulate(dv, (run.start + t) * groups + g, d, run.gradients[at + groups * width]!);
          run.gradients[at] = 0;
          run.gradients[at + groups * width] = 0;
        }
      }
    }
  }
}
