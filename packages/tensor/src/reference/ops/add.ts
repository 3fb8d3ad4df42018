import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/** `y = a + b`: a, b `[T, C]` -> y `[T, C]`. */
export function add(a: Matrix, b: Matrix, y: FloatArray): void {
  for (let t = 0; t < a.rows; t++) {
    for (let c = 0; c < a.columns; c++) {
      y[t * a.columns + c] = a.data[a.offset + t * a.stride + c]! + b.data[b.offset + t * b.stride + c]!;
    }
  }
}

/** `da += dy`, `db += dy`. */
export function addBackward(dy: Matrix, da: Matrix | null, db: Matrix | null): void {
  for (const gradient of [da, db]) {
    if (gradient === null) continue;
    for (let t = 0; t < dy.rows; t++) {
      for (let c = 0; c < dy.columns; c++) accumulate(gradient, t, c, dy.data[dy.offset + t * dy.stride + c]!);
    }
  }
}
