import {
  type BackwardOps,
  type BackwardSegment,
  checkCausalConv1d,
  checkGradientSlots,
  checkGradients,
  checkSelectiveScan,
  elementCount,
  type Slot,
  type StateField,
  type Tensor,
} from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import { addressOf, ownWeight, transposedTaps } from '../weights.ts';
import type { Gradients } from './gradients.ts';

/** An address per field. */
type Addresses<F extends readonly StateField[]> = { readonly [I in keyof F]: number };

/** One segment from its last row to its first, with the addresses of its state before and of the gradient. */
export interface BackwardStep<F extends readonly StateField[]> {
  readonly start: number;
  readonly length: number;
  readonly state: Addresses<F>;
  readonly gradient: Addresses<F>;
}

/**
 * Calls `visit` with each segment, last one first. `advance` runs the op forward over a segment, the state at the given
 * addresses; it is needed only where a sequence goes on in a further segment. A reset ends the gradient to the state.
 */
export function eachBackward<const F extends readonly StateField[]>(
  memory: WasmMemory,
  op: string,
  fields: F,
  segments: readonly BackwardSegment[],
  advance: (state: Addresses<F>, start: number, length: number) => void,
  visit: (step: BackwardStep<F>) => void,
): void {
  const sizes = fields.map(({ shape }) => elementCount(shape));
  const addresses = (slot: Slot): Addresses<F> =>
    fields.map((field) => memory.slots.field(op, slot, field)) as unknown as Addresses<F>;
  const copy = (from: Addresses<F> | null): Addresses<F> =>
    sizes.map((size, i) => {
      const to = memory.scratch(4 * size);
      const floats = memory.floats();
      if (from) floats.copyWithin(to / 4, from[i]! / 4, from[i]! / 4 + size);
      else floats.fill(0, to / 4, to / 4 + size);
      return to;
    }) as unknown as Addresses<F>;
  /** Of each segment its state before, or the segment that goes before it in its sequence. */
  const states = segments.map(({ slot, reset, gradient }, i) => {
    if (reset) return copy(null);
    const before = segments.slice(0, i).findLastIndex((segment) => segment.gradient === gradient);
    return before === -1 ? addresses(slot) : before;
  });
  for (const [i, before] of states.entries()) {
    if (typeof before !== 'number') continue;
    const { start, length } = segments[before]!;
    const state = copy(states[before] as Addresses<F>);
    states[i] = state;
    if (length > 0) advance(state, start, length);
  }
  for (const [i, { start, length, reset, gradient }] of [...segments.entries()].reverse()) {
    const slopes = addresses(gradient);
    if (length > 0) visit({ start, length, state: states[i] as Addresses<F>, gradient: slopes });
    if (reset) for (const [f, size] of sizes.entries()) memory.floats().fill(0, slopes[f]! / 4, slopes[f]! / 4 + size);
  }
}

/** The gradients of convolution and selective scan. */
export function sequenceBackward(
  memory: WasmMemory,
  gradients: Gradients,
): Pick<BackwardOps, 'causalConv1dBackward' | 'selectiveScanBackward'> {
  const place = (op: string, x: Tensor | null): readonly [address: number, stride: number] =>
    x === null ? [0, 0] : [memory.address(op, 'a tensor', x), x.rowStride];
  const row = ([address, stride]: readonly [number, number], start: number): [number, number] => [
    address === 0 ? 0 : address + 4 * start * stride,
    stride,
  ];

  return {
    causalConv1dBackward(x, w, bias, activation, state, segments, dy, dx) {
      const op = 'causalConv1dBackward';
      const kernels = memory.kernels(op);
      checkCausalConv1d(x, w, bias, state, segments);
      checkGradientSlots(op, segments);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      const channels = x.shape[1];
      const taps = w.shape[1]!;
      const weights = transposedTaps(memory, ownWeight(memory, op, w));
      const offsets = addressOf(memory, op, bias);
      const [input, slopes, into] = [place(op, x), place(op, dy), place(op, dx)];
      const silu = activation === 'silu' ? 1 : 0;
      const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
      const work = memory.scratch(4 * kernels.causal_conv_backward_scratch_len(longest, channels, taps));
      const forward = memory.scratch(4 * channels * (longest + taps));
      eachBackward(
        memory,
        op,
        [state],
        segments,
        ([at], start, length) => {
          const y = forward + 4 * channels * taps;
          kernels.causal_conv(...row(input, start), weights, offsets, at, forward, y, length, channels, taps, silu);
        },
        (step) =>
          kernels.causal_conv_backward(
            ...row(input, step.start),
            weights,
            offsets,
            step.state[0],
            ...row(slopes, step.start),
            ...row(into, step.start),
            gradients.of(w),
            gradients.of(bias),
            step.gradient[0],
            step.length,
            channels,
            taps,
            silu,
            work,
          ),
      );
    },

    selectiveScanBackward(u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments, dy, wanted) {
      const op = 'selectiveScanBackward';
      const kernels = memory.kernels(op);
      checkSelectiveScan(u, delta, A, B, C, D, z, deltaBias, state, segments);
      checkGradientSlots(op, segments);
      checkGradients(op, dy, u.shape, {
        u: [wanted.u, u],
        delta: [wanted.delta, delta],
        B: [wanted.B, B],
        C: [wanted.C, C],
        z: [wanted.z, z ?? u],
      });
      const channels = u.shape[1];
      const count = A.shape[1]!;
      const from = { u: place(op, u), delta: place(op, delta), B: place(op, B), C: place(op, C), z: place(op, z) };
      const [a, skip, offsets] = [A, D, deltaBias].map((w) => addressOf(memory, op, w)) as [number, number, number];
      const slopes = place(op, dy);
      const into = {
        u: place(op, wanted.u),
        delta: place(op, wanted.delta),
        B: place(op, wanted.B),
        C: place(op, wanted.C),
        z: place(op, wanted.z),
      };
      const softplus = deltaSoftplus ? 1 : 0;
      const longest = segments.reduce((most, { length }) => Math.max(most, length), 0);
      const work = memory.scratch(4 * kernels.scan_backward_scratch_len(longest, count));
      // What the kernel takes forward and backward alike.
      const inputs = (start: number) =>
        [
          ...row(from.u, start),
          ...row(from.delta, start),
          a,
          ...row(from.B, start),
          ...row(from.C, start),
          skip,
          ...row(from.z, start),
          offsets,
          softplus,
        ] as const;
      eachBackward(
        memory,
        op,
        [state],
        segments,
        ([at], start, length) => {
          const y = memory.scratch(4 * channels * length);
          const forward = memory.scratch(4 * kernels.scan_scratch_len(count));
          kernels.selective_scan(...inputs(start), at, y, length, channels, count, forward, 0);
        },
        ({ start, length, state: [at], gradient: [gradient] }) =>
          kernels.selective_scan_backward(
            ...inputs(start),
            at,
            length,
            channels,
            count,
            ...row(slopes, start),
            ...row(into.u, start),
            ...row(into.delta, start),
            ...row(into.B, start),
            ...row(into.C, start),
            ...row(into.z, start),
            gradients.of(A),
            gradients.of(D),
            gradients.of(deltaBias),
            gradient,
            work,
          ),
      );
    },
  };
}
