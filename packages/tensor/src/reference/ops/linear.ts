import type { FloatArray, Matrix } from '../matrix.ts';

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
