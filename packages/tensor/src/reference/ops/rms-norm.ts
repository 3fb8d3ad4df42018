import type { FloatArray, Matrix } from '../matrix.ts';

/**
 * `y[t, c] = x[t, c] / sqrt(mean_c(x[t, c]^2) + eps) * w[c]`
 *
 * x `[T, C]`, w `[C]` or null -> y `[T, C]`. Source: Zhang & Sennrich 2019, equation 4; state-spaces/mamba
 * ops/triton/layer_norm.py rms_norm_ref.
 */
export function rmsNorm(x: Matrix, w: FloatArray | null, eps: number, y: FloatArray): void {
  const channels = x.columns;
  for (let t = 0; t < x.rows; t++) {
    const row = x.offset + t * x.stride;
    let squares = 0;
    for (let c = 0; c < channels; c++) squares += x.data[row + c]! ** 2; // [C] -> scalar
    const root = Math.sqrt(squares / channels + eps);
    for (let c = 0; c < channels; c++) {
      const normed = x.data[row + c]! / root;
      y[t * channels + c] = w === null ? normed : normed * w[c]!;
    }
  }
}
