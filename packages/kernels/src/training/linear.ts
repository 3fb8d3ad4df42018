import { type BackwardOps, checkEmbedding, checkGradients, checkLinear } from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import type { Gradients } from './gradients.ts';

/** The gradients of what a matrix does: product and row gather. */
export function linearBackward(
  memory: WasmMemory,
  gradients: Gradients,
): Pick<BackwardOps, 'linearBackward' | 'embeddingBackward'> {
  return {
    linearBackward(x, w, bias, dy, dx) {
      const op = 'linearBackward';
      const kernels = memory.kernels(op);
      checkLinear(x, w, bias);
      checkGradients(op, dy, [x.shape[0], w.shape[0]!], { x: [dx, x] });
      const [outputs, inputs] = w.shape as [number, number];
      const tokens = x.shape[0];
      const [input, slopes] = [memory.address(op, 'x', x), memory.address(op, 'dy', dy)];
      if (dx !== null) {
        const to = memory.address(op, 'dx', dx);
        const matrix = gradients.address(op, w);
        kernels.input_gradient(slopes, dy.rowStride, matrix, to, dx.rowStride, tokens, inputs, outputs);
      }
      const [dw, dbias] = [gradients.of(w), gradients.of(bias)];
      if (dw) {
        const work = memory.scratch(4 * kernels.weight_gradient_scratch_len());
        kernels.weight_gradient(slopes, dy.rowStride, input, x.rowStride, dw, tokens, inputs, outputs, work);
      }
      if (dbias) kernels.add_columns(slopes, dy.rowStride, dbias, tokens, outputs);
    },

    embeddingBackward(ids, w, dy) {
      const op = 'embeddingBackward';
      const kernels = memory.kernels(op);
      checkEmbedding(ids, w);
      checkGradients(op, dy, [ids.length, w.shape[1]!], {});
      const dw = gradients.of(w);
      if (!dw) return;
      const slopes = memory.address(op, 'dy', dy);
      const rows = memory.scratch(4 * ids.length);
      new Int32Array(kernels.memory.buffer, rows, ids.length).set(ids);
      kernels.embedding_backward(rows, slopes, dy.rowStride, dw, ids.length, w.shape[1]!);
    },
  };
}
