import type { FloatArray } from '../matrix.ts';

/** `y[t] = w[ids[t]]`: w `[V, C]`, ids `[T]` -> y `[T, C]`. Source: torch.nn.functional.embedding. */
export function embedding(ids: Int32Array, w: FloatArray, channels: number, y: FloatArray): void {
  for (let t = 0; t < ids.length; t++) {
    const row = ids[t]! * channels;
    for (let c = 0; c < channels; c++) y[t * channels + c] = w[row + c]!; // [V, C] -> [C]
  }
}
