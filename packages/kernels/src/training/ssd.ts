import { type BackwardOps, checkGradientSlots, checkGradients, checkSsd, type Tensor } from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import { addressOf } from '../weights.ts';
import type { Gradients } from './gradients.ts';
import { eachBackward } from './sequence.ts';

/** The gradient of Mamba-2's recurrence. */
export function ssdBackward(memory: WasmMemory, gradients: Gradients): Pick<BackwardOps, 'ssdBackward'> {
  return {
    ssdBackward(x, dt, A, B, C, D, dtBias, [low, high], state, segments, dy, wanted) {
      const op = 'ssdBackward';
      const kernels = memory.kernels(op);
      checkSsd(x, dt, A, B, C, D, dtBias, [low, high], state, segments);
      checkGradientSlots(op, segments);
      const { x: dx, dt: ddt, B: dB, C: dC } = wanted;
      checkGradients(op, dy, x.shape, { x: [dx, x], dt: [ddt, dt], B: [dB, B], C: [dC, C] });
      const [heads, width, count] = state.shape as [number, number, number];
      const [a, skip, offsets] = [A, D, dtBias].map((w) => addressOf(memory, op, w)) as [number, number, number];
      const perChannel = D !== null && D.shape[0] !== heads ? 1 : 0;
      const groups = B.shape[1] / count;
      const from = (tensor: Tensor | null, start: number): [address: number, stride: number] =>
        tensor === null
          ? [0, 0]
          : [memory.address(op, 'a tensor', tensor) + 4 * start * tensor.rowStride, tensor.rowStride];
      const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
      const work = memory.scratch(4 * kernels.ssd_backward_scratch_len(longest, width, count));
      // What the kernel takes forward and backward alike.
      const inputs = (start: number) =>
        [
          ...from(x, start),
          ...from(dt, start),
          a,
          ...from(B, start),
          ...from(C, start),
          skip,
          perChannel,
          offsets,
          low,
          high,
        ] as const;
      eachBackward(
        memory,
        op,
        [state],
        segments,
        ([at], start, length) => {
          const y = memory.scratch(4 * heads * width * length);
          const forward = memory.scratch(4 * kernels.ssd_scratch_len(width, count));
          kernels.ssd(...inputs(start), at, y, length, heads, width, count, groups, forward, 0);
        },
        ({ start, length, state: [at], gradient: [gradient] }) =>
          kernels.ssd_backward(
            ...inputs(start),
            at,
            length,
            heads,
            width,
            count,
            groups,
            ...from(dy, start),
            ...from(dx, start),
            ...from(ddt, start),
            ...from(dB, start),
            ...from(dC, start),
            gradients.of(A),
            gradients.of(D),
            gradients.of(dtBias),
            gradient,
            work,
          ),
      );
    },
  };
}
