import {
  type BackwardOps,
  checkGradientSlots,
  checkGradients,
  checkMamba3Scan,
  checkMimoGate,
  type Tensor,
} from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import { addressOf } from '../weights.ts';
import type { Gradients } from './gradients.ts';
import { eachBackward } from './sequence.ts';

type N = number;
type FiveNumbers = [N, N, N, N, N];
/** Seven addresses, each with its stride. */
type FourteenNumbers = [N, N, N, N, N, N, N, N, N, N, N, N, N, N];

/** The gradients of what Mamba-3 alone has. */
export function mamba3Backward(
  memory: WasmMemory,
  gradients: Gradients,
): Pick<BackwardOps, 'mamba3ScanBackward' | 'mimoGateBackward'> {
  /** Of row `start`; an address of 0 where there is no tensor. */
  const place = (op: string, x: Tensor | null, start = 0): [address: number, stride: number] =>
    x === null ? [0, 0] : [memory.address(op, 'a tensor', x) + 4 * start * x.rowStride, x.rowStride];

  return {
    mamba3ScanBackward(inputs, weights, form, state, segments, dy, wanted) {
      const op = 'mamba3ScanBackward';
      const kernels = memory.kernels(op);
      const rank = checkMamba3Scan(inputs, weights, form, state, segments);
      checkGradientSlots(op, segments);
      const { x, dt, a, trap, angle, B, C } = inputs;
      checkGradients(op, dy, [x.shape[0], rank * x.shape[1]], {
        x: [wanted.x, x],
        dt: [wanted.dt, dt],
        a: [wanted.a, a],
        trap: [wanted.trap, trap],
        angle: [wanted.angle, angle],
        B: [wanted.B, B],
        C: [wanted.C, C],
      });
      const [heads, width, states] = state.ssm.shape as [number, number, number];
      const angles = angle.shape[1];
      const places = (start: number, of: Readonly<Record<keyof typeof inputs, Tensor | null>>): FourteenNumbers =>
        [of.x, of.dt, of.a, of.trap, of.angle, of.B, of.C].flatMap((m) => place(op, m, start)) as FourteenNumbers;
      const own = [weights.dtBias, weights.biasB, weights.biasC, weights.D, weights.mimoX];
      const parameters = own.map((w) => addressOf(memory, op, w)) as FiveNumbers;
      const slopes = own.map((w) => gradients.of(w)) as FiveNumbers;
      const sizes = [heads, width, states, B.shape[1] / (rank * states), rank, angles] as const;
      const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
      const work = memory.scratch(4 * kernels.mamba3_backward_scratch_len(longest, width, states, rank, angles));
      // What the kernel takes forward and backward alike.
      const common = (start: number) =>
        [
          ...places(start, inputs),
          ...parameters,
          form.rotation === 'halves' ? 1 : 0,
          form.activation === 'softplus' ? 1 : 0,
          form.floor,
        ] as const;
      eachBackward(
        memory,
        op,
        [state.angle, state.ssm, state.k, state.v],
        segments,
        (at, start, length) => {
          const y = memory.scratch(4 * rank * heads * width * length);
          const forward = memory.scratch(4 * kernels.mamba3_scratch_len(width, states, rank, angles));
          kernels.mamba3_scan(...common(start), ...at, y, length, ...sizes, forward);
        },
        ({ start, length, state: at, gradient }) =>
          kernels.mamba3_scan_backward(
            ...common(start),
            ...at,
            length,
            ...sizes,
            ...place(op, dy, start),
            ...places(start, wanted),
            ...slopes,
            ...gradient,
            work,
          ),
      );
    },

    mimoGateBackward(y, gate, wGate, wOut, dout, wanted) {
      const op = 'mimoGateBackward';
      const kernels = memory.kernels(op);
      checkMimoGate(y, gate, wGate, wOut);
      checkGradients(op, dout, gate.shape, { y: [wanted.y, y], gate: [wanted.gate, gate] });
      const [heads, rank, width] = wGate.shape as [number, number, number];
      kernels.mimo_gate_backward(
        ...place(op, y),
        ...place(op, gate),
        addressOf(memory, op, wGate),
        addressOf(memory, op, wOut),
        ...place(op, dout),
        ...place(op, wanted.y),
        ...place(op, wanted.gate),
        gradients.of(wGate),
        gradients.of(wOut),
        gate.shape[0],
        heads,
        rank,
        width,
      );
    },
  };
}
