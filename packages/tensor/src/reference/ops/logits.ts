import type { FloatArray, Matrix } from '../matrix.ts';

/**
 * `y[i, v] = sum_c x[rows[i], c] w[v, c]`: the language model head for the asked rows.
 *
 * x `[T, C]`, w `[V', C]` of which the first V = vocabSize rows count -> y `[rows, V]`. Source: lm_head of
 * state-spaces/mamba models/mixer_seq_simple.py.
 */
export function logits(x: Matrix, w: FloatArray, rows: Int32Array, vocabSize: number, y: FloatArray): void {
  const channels = x.columns;
  for (let i = 0; i < rows.length; i++) {
    const row = x.offset + rows[i]! * x.stride; // [T, C] -> [C]
    for (let v = 0; v < vocabSize; v++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += x.data[row + c]! * w[v * channels + c]!; // [C] . [C] -> scalar
      y[i * vocabSize + v] = sum;
    }
  }
}
