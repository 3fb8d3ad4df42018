import {
  type BackwardOps,
  checkConcat,
  checkDropout,
  checkGradients,
  checkSiluGate,
  type DropoutMask,
  type Tensor,
  type TrainingBackend,
} from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';

const halves = (value: number): [low: number, high: number] => [value >>> 0, Math.floor(value / 2 ** 32)];

type Native = Pick<BackwardOps, 'addBackward' | 'concatBackward' | 'siluGateBackward' | 'dropoutBackward'> &
  Pick<TrainingBackend, 'dropout'>;

/** The gradients of sums and gates, and dropout. */
export function elementwiseBackward(memory: WasmMemory): Native {
  const optional = (op: string, x: Tensor | null): number => (x === null ? 0 : memory.address(op, 'a gradient', x));

  const drop = (x: Tensor, y: Tensor, rate: number, mask: DropoutMask, add: boolean): void => {
    const op = 'dropout';
    memory
      .kernels(op)
      .dropout(
        memory.address(op, 'x', x),
        x.rowStride,
        memory.address(op, 'y', y),
        y.rowStride,
        x.shape[0],
        x.shape[1],
        mask.site,
        ...halves(mask.step),
        ...halves(mask.seed),
        rate * 2 ** 32,
        1 / (1 - rate),
        add ? 1 : 0,
      );
  };

  return {
    addBackward(dy, { a, b }) {
      const op = 'addBackward';
      const kernels = memory.kernels(op);
      checkGradients(op, dy, dy.shape, { a: [a, dy], b: [b, dy] });
      const from = memory.address(op, 'dy', dy);
      for (const to of [a, b]) {
        if (to === null) continue;
        kernels.add_rows(from, dy.rowStride, memory.address(op, 'a gradient', to), to.rowStride, ...dy.shape);
      }
    },

    concatBackward(dy, { a, b }) {
      const op = 'concatBackward';
      const kernels = memory.kernels(op);
      const left = a?.shape[1] ?? dy.shape[1] - (b?.shape[1] ?? 0);
      if (a !== null && b !== null) checkConcat(a, b);
      checkGradients(op, dy, [dy.shape[0], left + (b?.shape[1] ?? dy.shape[1] - left)], {});
      const from = memory.address(op, 'dy', dy);
      for (const [to, column] of [[a, 0] as const, [b, left] as const]) {
        if (to === null) continue;
        const into = memory.address(op, 'a gradient', to);
        kernels.add_rows(from + 4 * column, dy.rowStride, into, to.rowStride, ...to.shape);
      }
    },

    siluGateBackward(x, gate, dy, { x: dx, gate: dgate }) {
      const op = 'siluGateBackward';
      const kernels = memory.kernels(op);
      checkSiluGate(x, gate);
      checkGradients(op, dy, x.shape, { x: [dx, x], gate: [dgate, gate] });
      kernels.silu_gate_backward(
        memory.address(op, 'x', x),
        x.rowStride,
        memory.address(op, 'gate', gate),
        gate.rowStride,
        memory.address(op, 'dy', dy),
        dy.rowStride,
        optional(op, dx),
        dx?.rowStride ?? 0,
        optional(op, dgate),
        dgate?.rowStride ?? 0,
        ...x.shape,
      );
    },

    dropout(x, rate, mask) {
      memory.kernels('dropout');
      checkDropout(x, rate);
      const y = memory.tensor(...x.shape);
      drop(x, y, rate, mask, false);
      return y;
    },

    dropoutBackward(rate, mask, dy, dx) {
      memory.kernels('dropoutBackward');
      checkDropout(dy, rate);
      checkGradients('dropoutBackward', dy, dx.shape, {});
      drop(dy, dx, rate, mask, true);
    },
  };
}
