import { checkCrossEntropy, checkGradients, type Tensor, type TrainingBackend } from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import type { Gradients } from './gradients.ts';

/** Rows whose logits exist at once. */
const BLOCK = 128;

/** Head and loss, a block of rows at a time. */
export function headBackward(
  memory: WasmMemory,
  gradients: Gradients,
): Pick<TrainingBackend, 'crossEntropy' | 'crossEntropyBackward'> {
  /** Whether the rows lie one behind another. */
  const consecutive = (rows: Int32Array): boolean => rows.every((row, i) => row === rows[0]! + i);

  /** The asked rows of x side by side: where they are, or gathered. */
  const gather = (op: string, x: Tensor, rows: Int32Array): { address: number; stride: number } => {
    const from = memory.address(op, 'x', x);
    if (consecutive(rows)) return { address: from + 4 * (rows[0] ?? 0) * x.rowStride, stride: x.rowStride };
    const width = x.shape[1];
    const address = memory.scratch(4 * rows.length * width);
    const floats = memory.floats();
    for (const [i, row] of rows.entries()) {
      const start = from / 4 + row * x.rowStride;
      floats.copyWithin(address / 4 + i * width, start, start + width);
    }
    return { address, stride: width };
  };

  /** Calls `visit` with each block's logits `[count, vocabSize]`, and where its rows of x and its targets are. */
  const eachBlock = (
    op: string,
    x: Tensor,
    matrix: number,
    rows: Int32Array,
    targets: Int32Array,
    vocabSize: number,
    visit: (logits: number, first: number, count: number, from: number, stride: number, ids: number) => void,
  ): void => {
    const kernels = memory.kernels(op);
    const { address, stride } = gather(op, x, rows);
    const ids = memory.scratch(4 * targets.length);
    const logits = memory.scratch(4 * BLOCK * vocabSize);
    new Int32Array(kernels.memory.buffer, ids, targets.length).set(targets);
    for (let first = 0; first < rows.length; first += BLOCK) {
      const count = Math.min(BLOCK, rows.length - first);
      const from = address + 4 * first * stride;
      kernels.linear(0, from, stride, matrix, 0, logits, vocabSize, count, x.shape[1], vocabSize);
      visit(logits, first, count, from, stride, ids + 4 * first);
    }
  };

  return {
    crossEntropy(x, w, rows, targets, vocabSize) {
      const op = 'crossEntropy';
      const kernels = memory.kernels(op);
      checkCrossEntropy(x, w, rows, targets, vocabSize);
      const matrix = gradients.address(op, w);
      const y = memory.tensor(rows.length, 1);
      eachBlock(op, x, matrix, rows, targets, vocabSize, (logits, first, count, _from, _stride, ids) => {
        kernels.cross_entropy(logits, ids, 4 * (y.offset + first), 0, count, vocabSize);
      });
      return y;
    },

    crossEntropyBackward(x, w, rows, targets, vocabSize, dy, dx) {
      const op = 'crossEntropyBackward';
      const kernels = memory.kernels(op);
      checkCrossEntropy(x, w, rows, targets, vocabSize);
      checkGradients(op, dy, [rows.length, 1], { x: [dx, x] });
      const matrix = gradients.address(op, w);
      const width = x.shape[1];
      const dw = gradients.of(w);
      const work = memory.scratch(4 * kernels.weight_gradient_scratch_len());
      // One slope per row, side by side.
      const slopes = memory.scratch(4 * rows.length);
      const from = memory.address(op, 'dy', dy);
      kernels.copy_rows(from, dy.rowStride, slopes, 1, rows.length, 1);
      // The gradient to the asked rows side by side: in its place, or to be scattered.
      const straight = consecutive(rows);
      const target = dx === null ? 0 : memory.address(op, 'dx', dx);
      let [to, toStride] = [target + 4 * (rows[0] ?? 0) * (dx?.rowStride ?? 0), dx?.rowStride ?? 0];
      if (dx !== null && !straight) {
        [to, toStride] = [memory.scratch(4 * rows.length * width), width];
        memory.floats().fill(0, to / 4, to / 4 + rows.length * width);
      }
      eachBlock(op, x, matrix, rows, targets, vocabSize, (logits, first, count, input, stride, ids) => {
        kernels.cross_entropy(logits, ids, 0, slopes + 4 * first, count, vocabSize);
        if (dx !== null) {
          const place = to + 4 * first * toStride;
          kernels.input_gradient(logits, vocabSize, matrix, place, toStride, count, width, vocabSize);
        }
        if (dw) kernels.weight_gradient(logits, vocabSize, input, stride, dw, count, width, vocabSize, work);
      });
      if (dx === null || straight) return;
      for (const [i, row] of rows.entries()) {
        kernels.add_rows(to + 4 * i * width, width, target + 4 * row * dx.rowStride, dx.rowStride, 1, width);
      }
    },
  };
}
