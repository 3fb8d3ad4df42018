import type { CacheField } from '../../backend.ts';
import type { FloatArray, Matrix } from '../matrix.ts';

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
