import type { FloatArray, Matrix } from '../matrix.ts';
import { erf } from './scalar.ts';

/**
 * `erf`: `x / 2 (1 + erf(x / sqrt 2))`; `tanh`: `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`.
 *
 * x `[T, C]` -> y `[T, C]`. Source: Hendrycks & Gimpel 2016, section 2; torch.nn.functional.gelu.
 */
export function gelu(x: Matrix, form: 'erf' | 'tanh', y: FloatArray): void {
  for (let t = 0; t < x.rows; t++) {
    for (let c = 0; c < x.columns; c++) {
      const value = x.data[x.offset + t * x.stride + c]!;
      const inner =
        form === 'erf'
          ? erf(value * Math.SQRT1_2)
          : Math.tanh(Math.sqrt(2 / Math.PI) * (value + 0.044715 * value ** 3));
      y[t * x.columns + c] = (value / 2) * (1 + inner);
    }
  }
}
