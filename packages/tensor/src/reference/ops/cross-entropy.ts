import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/** Logits `[V]` of one row, and the logarithm of the sum of their exponentials. */
function head(x: Matrix, row: number, w: FloatArray, vocabSize: number): { logits: Float64Array; total: number } {
  const start = x.offset + row * x.stride;
  const logits = Float64Array.from({ length: vocabSize }, (_, v) => {
    let sum = 0;
    for (let c = 0; c < x.columns; c++) sum += x.data[start + c]! * w[v * x.columns + c]!; // [C] . [C] -> scalar
    return sum;
  });
  const top = logits.reduce((max, value) => Math.max(max, value), Number.NEGATIVE_INFINITY);
  return { logits, total: top + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - top), 0)) };
}

/**
 * `y[i] = log(sum_v exp(l[v])) - l[targets[i]]`, `l = w x[rows[i]]`: nats that the head gives the target.
 *
 * x `[T, C]`, w `[V', C]` of which the first V = vocabSize rows count -> y `[rows, 1]`. Source:
 * torch.nn.functional.cross_entropy with reduction "none".
 */
export function crossEntropy(
  x: Matrix,
  w: FloatArray,
  rows: Int32Array,
  targets: Int32Array,
  vocabSize: number,
  y: FloatArray,
): void {
  for (let i = 0; i < rows.length; i++) {
    const { logits, total } = head(x, rows[i]!, w, vocabSize);
    y[i] = total - logits[targets[i]!]!;
  }
}

/** With `g = dy[i] (softmax(l) - onehot(target))`: `dx[rows[i]] += g w`, `dw += g^T x[rows[i]]`. dy `[rows, 1]`. */
export function crossEntropyBackward(
  x: Matrix,
  w: FloatArray,
  rows: Int32Array,
  targets: Int32Array,
  vocabSize: number,
  dy: Matrix,
  dx: Matrix | null,
  dw: FloatArray | null,
): void {
  for (let i = 0; i < rows.length; i++) {
    const { logits, total } = head(x, rows[i]!, w, vocabSize);
    const start = x.offset + rows[i]! * x.stride;
    for (let v = 0; v < vocabSize; v++) {
      const hit = v === targets[i] ? 1 : 0;
      const slope = dy.data[dy.offset + i * dy.stride]! * (Math.exp(logits[v]! - total) - hit);
      for (let c = 0; c < x.columns; c++) {
        accumulate(dx, rows[i]!, c, slope * w[v * x.columns + c]!);
        if (dw !== null) dw[v * x.columns + c]! += slope * x.data[start + c]!;
      }
    }
  }
}
