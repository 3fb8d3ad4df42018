import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';
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

/** `dx += dy gelu'(x)`; for `erf` that is `Phi(x) + x phi(x)` of the normal distribution. */
export function geluBackward(x: Matrix, form: 'erf' | 'tanh', dy: Matrix, dx: Matrix | null): void {
  for (let t = 0; t < x.rows; t++) {
    for (let c = 0; c < x.columns; c++) {
      const value = x.data[x.offset + t * x.stride + c]!;
      accumulate(dx, t, c, dy.data[dy.offset + t * dy.stride + c]! * geluSlope(value, form));
    }
  }
}

function geluSlope(x: number, form: 'erf' | 'tanh'): number {
  if (form === 'erf') return (1 + erf(x * Math.SQRT1_2)) / 2 + (x * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
  const root = Math.sqrt(2 / Math.PI);
  const inner = Math.tanh(root * (x + 0.044715 * x ** 3));
  return (1 + inner) / 2 + (x / 2) * (1 - inner * inner) * root * (1 + 3 * 0.044715 * x * x);
}
