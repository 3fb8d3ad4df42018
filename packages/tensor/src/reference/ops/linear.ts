import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/**
 * `y[t, o] = sum_i x[t, i] w[o, i] + bias[o]`
 *
 * x `[T, I]`, w `[O, I]`, bias `[O]` or null -> y `[T, O]`. Source: torch.nn.functional.linear.
 */
export function linear(x: Matrix, w: FloatArray, bias: FloatArray | null, y: FloatArray): void {
  const inputs = x.columns;
  const outputs = x.rows === 0 ? 0 : y.length / x.rows;
  for (let t = 0; t < x.rows; t++) {
    const row = x.offset + t * x.stride;
    for (let o = 0; o < outputs; o++) {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += x.data[row + i]! * w[o * inputs + i]!; // [I] . [I] -> scalar
      y[t * outputs + o] = bias === null ? sum : sum + bias[o]!;
    }
  }
}

/** `dx += dy w`, `dw += dy^T x`, `dbias += ` the sum of dy over rows. dy `[T, O]`. */
export function linearBackward(
  x: Matrix,
  w: FloatArray,
  dy: Matrix,
  dx: Matrix | null,
  dw: FloatArray | null,
  dbias: FloatArray | null,
): void {
  const [inputs, outputs] = [x.columns, dy.columns];
  const at = (t: number, o: number): number => dy.data[dy.offset + t * dy.stride + o]!;
  for (let t = 0; dx !== null && t < x.rows; t++) {
    for (let i = 0; i < inputs; i++) {
      let sum = 0;
      for (let o = 0; o < outputs; o++) sum += at(t, o) * w[o * inputs + i]!; // [O] . [O] -> scalar
      accumulate(dx, t, i, sum);
    }
  }
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; dw !== null && i < inputs; i++) {
      let sum = 0;
      for (let t = 0; t < x.rows; t++) sum += at(t, o) * x.data[x.offset + t * x.stride + i]!; // [T] . [T] -> scalar
      dw[o * inputs + i]! += sum;
    }
    if (dbias === null) continue;
    let sum = 0;
    for (let t = 0; t < x.rows; t++) sum += at(t, o);
    dbias[o]! += sum;
  }
}
