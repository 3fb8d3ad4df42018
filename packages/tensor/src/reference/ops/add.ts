import type { FloatArray, Matrix } from '../matrix.ts';

/** `y = a + b`: a, b `[T, C]` -> y `[T, C]`. */
export function add(a: Matrix, b: Matrix, y: FloatArray): void {
  for (let t = 0; t < a.rows; t++) {
    for (let c = 0; c < a.columns; c++) {
      y[t * a.columns + c] = a.data[a.offset + t * a.stride + c]! + b.data[b.offset + t * b.stride + c]!;
    }
  }
}
