import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/** `y[t] = (a[t], b[t])`: a `[T, A]`, b `[T, B]` -> y `[T, A + B]`. Source: torch.cat along the last axis. */
export function concat(a: Matrix, b: Matrix, y: FloatArray): void {
  const width = a.columns + b.columns;
  for (let t = 0; t < a.rows; t++) {
    for (let c = 0; c < a.columns; c++) y[t * width + c] = a.data[a.offset + t * a.stride + c]!;
    for (let c = 0; c < b.columns; c++) y[t * width + a.columns + c] = b.data[b.offset + t * b.stride + c]!;
  }
}

/** `da += ` the first columns of dy, `db += ` the others. */
export function concatBackward(dy: Matrix, da: Matrix | null, db: Matrix | null, left: number): void {
  for (let t = 0; t < dy.rows; t++) {
    for (let c = 0; c < dy.columns; c++) {
      const slope = dy.data[dy.offset + t * dy.stride + c]!;
      if (c < left) accumulate(da, t, c, slope);
      else accumulate(db, t, c - left, slope);
    }
  }
}
