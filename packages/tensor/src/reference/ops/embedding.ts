import type { FloatArray, Matrix } from '../matrix.ts';

/** `y[t] = w[ids[t]]`: w `[V, C]`, ids `[T]` -> y `[T, C]`. Source: torch.nn.functional.embedding. */
export function embedding(ids: Int32Array, w: FloatArray, channels: number, y: FloatArray): void {
  for (let t = 0; t < ids.length; t++) {
    const row = ids[t]! * channels;
    for (let c = 0; c < channels; c++) y[t * channels + c] = w[row + c]!; // [V, C] -> [C]
  }
}

/** `dw[ids[t]] += dy[t]`. */
export function embeddingBackward(ids: Int32Array, dy: Matrix, dw: FloatArray | null): void {
  if (dw === null) return;
  for (let t = 0; t < ids.length; t++) {
    const row = ids[t]! * dy.columns;
    for (let c = 0; c < dy.columns; c++) dw[row + c]! += dy.data[dy.offset + t * dy.stride + c]!; // [C] -> [V, C]
  }
}
