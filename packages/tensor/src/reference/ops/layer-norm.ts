import type { FloatArray, Matrix } from '../matrix.ts';

/**
 * `y[t, c] = (x[t, c] - mean) / sqrt(var + eps) * w[c] + bias[c]`, mean and variance (over C, not C - 1) of row t.
 *
 * x `[T, C]`, w `[C]`, bias `[C]` or null -> y `[T, C]`. Source: Ba, Kiros & Hinton 2016, equation 4.
 */
export function layerNorm(x: Matrix, w: FloatArray, bias: FloatArray | null, eps: number, y: FloatArray): void {
  for (let t = 0; t < x.rows; t++) {
    const row = x.offset + t * x.stride;
    let sum = 0;
    for (let c = 0; c < x.columns; c++) sum += x.data[row + c]!; // [C] -> scalar
    const mean = sum / x.columns;
    let squares = 0;
    for (let c = 0; c < x.columns; c++) squares += (x.data[row + c]! - mean) ** 2; // [C] -> scalar
    const root = Math.sqrt(squares / x.columns + eps);
    for (let c = 0; c < x.columns; c++) {
      const scaled = ((x.data[row + c]! - mean) / root) * w[c]!;
      y[t * x.columns + c] = bias === null ? scaled : scaled + bias[c]!;
    }
  }
}
