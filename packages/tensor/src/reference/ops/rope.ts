import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/**
 * Pair i of every row turned by `positions[t] * frequencies[i]`; columns past the pairs stay.
 *
 *     y_a = x_a cos - x_b sin,  y_b = x_b cos + x_a sin        (a, b) = (i, i + F) or (2 i, 2 i + 1)
 *
 * x `[T H, D]`, a row per token and head; frequencies `[F]`; positions `[T]` -> y `[T H, D]`.
 * Source: Su et al. 2021, equation 34; transformers apply_rotary_pos_emb (halves).
 */
export function rope(
  x: Matrix,
  frequencies: Float64Array,
  rotation: 'halves' | 'pairs',
  positions: readonly number[],
  y: FloatArray,
): void {
  const heads = x.rows / positions.length;
  for (let r = 0; r < x.rows; r++) {
    const [from, to] = [x.offset + r * x.stride, r * x.columns];
    for (let c = 2 * frequencies.length; c < x.columns; c++) y[to + c] = x.data[from + c]!;
    for (const [i, frequency] of frequencies.entries()) {
      const angle = positions[Math.floor(r / heads)]! * frequency;
      const [a, b] = rotation === 'halves' ? [i, i + frequencies.length] : [2 * i, 2 * i + 1];
      const [one, other] = [x.data[from + a]!, x.data[from + b]!];
      y[to + a] = one * Math.cos(angle) - other * Math.sin(angle);
      y[to + b] = other * Math.cos(angle) + one * Math.sin(angle);
    }
  }
}

/** `dx += ` dy turned back; columns past the pairs as they are. */
export function ropeBackward(
  frequencies: Float64Array,
  rotation: 'halves' | 'pairs',
  positions: readonly number[],
  dy: Matrix,
  dx: Matrix | null,
): void {
  const heads = dy.rows / positions.length;
  for (let r = 0; r < dy.rows; r++) {
    const from = dy.offset + r * dy.stride;
    for (let c = 2 * frequencies.length; c < dy.columns; c++) accumulate(dx, r, c, dy.data[from + c]!);
    for (const [i, frequency] of frequencies.entries()) {
      const angle = positions[Math.floor(r / heads)]! * frequency;
      const [a, b] = rotation === 'halves' ? [i, i + frequencies.length] : [2 * i, 2 * i + 1];
      const [one, other] = [dy.data[from + a]!, dy.data[from + b]!];
      accumulate(dx, r, a, one * Math.cos(angle) + other * Math.sin(angle));
      accumulate(dx, r, b, other * Math.cos(angle) - one * Math.sin(angle));
    }
  }
}
