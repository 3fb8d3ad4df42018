import { accumulate, addInto, type FloatArray, type Matrix } from '../matrix.ts';

/**
 * Over each of `groups` equal parts of the columns, W = C / groups wide, on its own:
 *
 *     y[t, c] = x[t, c] / sqrt(mean_part(x[t, c]^2) + eps) * w[c]
 *
 * x `[T, C]`, w `[C]`, shorter (it repeats) or null -> y `[T, C]`. Source: Zhang & Sennrich 2019, equation 4;
 * state-spaces/mamba ops/triton/layer_norm.py and layernorm_gated.py, rms_norm_ref.
 */
export function rmsNorm(x: Matrix, w: FloatArray | null, eps: number, groups: number, y: FloatArray): void {
  const width = x.columns / groups;
  for (let t = 0; t < x.rows; t++) {
    for (let start = 0; start < x.columns; start += width) {
      const row = x.offset + t * x.stride + start;
      let squares = 0;
      for (let c = 0; c < width; c++) squares += x.data[row + c]! ** 2; // [W] -> scalar
      const root = Math.sqrt(squares / width + eps);
      for (let c = 0; c < width; c++) {
        const normed = x.data[row + c]! / root;
        y[t * x.columns + start + c] = w === null ? normed : normed * w[(start + c) % w.length]!;
      }
    }
  }
}

/**
 * With n = x / root, and g = dy w: `dx += (g - n mean_part(g n)) / root`, `dw += dy n` (summed over rows and, where w
 * repeats, over its repetitions).
 */
export function rmsNormBackward(
  x: Matrix,
  w: FloatArray | null,
  eps: number,
  groups: number,
  dy: Matrix,
  dx: Matrix | null,
  dw: FloatArray | null,
): void {
  const width = x.columns / groups;
  const sums = new Float64Array(dw?.length ?? 0);
  for (let t = 0; t < x.rows; t++) {
    for (let start = 0; start < x.columns; start += width) {
      const row = x.offset + t * x.stride + start;
      const slopes = dy.offset + t * dy.stride + start;
      let squares = 0;
      for (let c = 0; c < width; c++) squares += x.data[row + c]! ** 2;
      const root = Math.sqrt(squares / width + eps);
      const scaled = (c: number): number => dy.data[slopes + c]! * (w === null ? 1 : w[(start + c) % w.length]!);
      let mean = 0;
      for (let c = 0; c < width; c++) mean += (scaled(c) * x.data[row + c]!) / root / width; // [W] -> scalar
      for (let c = 0; c < width; c++) {
        const normed = x.data[row + c]! / root;
        accumulate(dx, t, start + c, (scaled(c) - normed * mean) / root);
        if (dw !== null) sums[(start + c) % dw.length]! += dy.data[slopes + c]! * normed;
      }
    }
  }
  addInto(dw, sums);
}
