import { accumulate, addInto, type FloatArray, type Matrix } from '../matrix.ts';

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

/**
 * With n the normed x, and g = dy w: `dx += (g - mean(g) - n mean(g n)) / root`, `dw += ` the sum of dy n over rows,
 * `dbias += ` that of dy.
 */
export function layerNormBackward(
  x: Matrix,
  w: FloatArray,
  eps: number,
  dy: Matrix,
  dx: Matrix | null,
  dw: FloatArray | null,
  dbias: FloatArray | null,
): void {
  const width = x.columns;
  const sums = { w: new Float64Array(width), bias: new Float64Array(width) };
  const normed = new Float64Array(width);
  for (let t = 0; t < x.rows; t++) {
    const row = x.offset + t * x.stride;
    const slopes = dy.offset + t * dy.stride;
    let mean = 0;
    for (let c = 0; c < width; c++) mean += x.data[row + c]! / width;
    let variance = 0;
    for (let c = 0; c < width; c++) variance += (x.data[row + c]! - mean) ** 2 / width;
    const root = Math.sqrt(variance + eps);
    let [meanG, meanGN] = [0, 0];
    for (let c = 0; c < width; c++) {
      normed[c] = (x.data[row + c]! - mean) / root;
      const slope = dy.data[slopes + c]!;
      meanG += (slope * w[c]!) / width;
      meanGN += (slope * w[c]! * normed[c]!) / width;
      sums.w[c]! += slope * normed[c]!;
      sums.bias[c]! += slope;
    }
    for (let c = 0; c < width; c++) {
      accumulate(dx, t, c, (dy.data[slopes + c]! * w[c]! - meanG - normed[c]! * meanGN) / root);
    }
  }
  addInto(dw, sums.w);
  addInto(dbias, sums.bias);
}
