import {
  checkMamba3Scan,
  checkMimoGate,
  checkSsd,
  elementCount,
  type Ops,
  type UpdateSkipping,
} from '@mamba-ts/tensor';
import type { WasmMemory } from './memory.ts';
import { addressOf } from './weights.ts';

type N = number;
/** Seven addresses, each with its stride. */
type FourteenNumbers = [N, N, N, N, N, N, N, N, N, N, N, N, N, N];

/** Adds what a call did to the counts. */
export function tally(skipping: UpdateSkipping | undefined, updates: number, skipped: number): void {
  if (!skipping) return;
  skipping.updates += updates;
  skipping.skipped += skipped;
}

/** The ops of Mamba-2 and Mamba-3 on `memory`. */
export function recurrences(memory: WasmMemory): Pick<Ops, 'ssd' | 'mamba3Scan' | 'mimoGate'> {
  return {
    ssd(x, dt, A, B, C, D, dtBias, [low, high], state, segments, skipping) {
      const op = 'ssd';
      const kernels = memory.kernels(op);
      checkSsd(x, dt, A, B, C, D, dtBias, [low, high], state, segments, skipping);
      const [heads, width, count] = state.shape as [number, number, number];
      const inputs = {
        x: memory.address(op, 'x', x),
        dt: memory.address(op, 'dt', dt),
        B: memory.address(op, 'B', B),
        C: memory.address(op, 'C', C),
      };
      const [a, skip, offsets] = [addressOf(memory, op, A), addressOf(memory, op, D), addressOf(memory, op, dtBias)];
      const states = segments.map(({ slot }) => memory.slots.field(op, slot, state));
      const channels = heads * width;
      const y = memory.tensor(x.shape[0], channels);
      const work = memory.scratch(4 * kernels.ssd_scratch_len(width, count));
      for (const [i, { start, length, reset }] of segments.entries()) {
        const at = states[i]!;
        if (reset) memory.floats().fill(0, at / 4, at / 4 + channels * count);
        if (length === 0) continue;
        const skipped = kernels.ssd(
          inputs.x + 4 * start * x.rowStride,
          x.rowStride,
          inputs.dt + 4 * start * dt.rowStride,
          dt.rowStride,
          a,
          inputs.B + 4 * start * B.rowStride,
          B.rowStride,
          inputs.C + 4 * start * C.rowStride,
          C.rowStride,
          skip,
          D !== null && D.shape[0] !== heads ? 1 : 0,
          offsets,
          low,
          high,
          at,
          4 * (y.offset + start * channels),
          length,
          heads,
          width,
          count,
          B.shape[1] / count,
          work,
          skipping?.below ?? 0,
        );
        tally(skipping, length * heads, skipped);
      }
      return y;
    },

    mamba3Scan(inputs, weights, form, state, segments) {
      const op = 'mamba3Scan';
      const kernels = memory.kernels(op);
      const rank = checkMamba3Scan(inputs, weights, form, state, segments);
      const [heads, width, states] = state.ssm.shape as [number, number, number];
      const { x, dt, a, trap, angle, B, C } = inputs;
      const channels = heads * width;
      const angles = angle.shape[1];
      const tensors = Object.entries({ x, dt, a, trap, angle, B, C }).map(
        ([name, tensor]) => [memory.address(op, name, tensor), tensor.rowStride] as const,
      );
      const { dtBias, biasB, biasC, D, mimoX } = weights;
      const own = [dtBias, biasB, biasC, D, mimoX].map((w) => addressOf(memory, op, w)) as [
        number,
        number,
        number,
        number,
        number,
      ];
      const fields = [state.angle, state.ssm, state.k, state.v];
      const slots = segments.map(({ slot }) => fields.map((field) => memory.slots.field(op, slot, field)));
      const y = memory.tensor(x.shape[0], rank * channels); // [T, H P] -> [T, R H P]
      const work = memory.scratch(4 * kernels.mamba3_scratch_len(width, states, rank, angles));
      for (const [i, { start, length, reset }] of segments.entries()) {
        const at = slots[i] as [number, number, number, number];
        if (reset) {
          for (const [f, { shape }] of fields.entries()) {
            memory.floats().fill(0, at[f]! / 4, at[f]! / 4 + elementCount(shape));
          }
        }
        if (length === 0) continue;
        kernels.mamba3_scan(
          ...(tensors.flatMap(([address, stride]) => [address + 4 * start * stride, stride]) as FourteenNumbers),
          ...own,
          form.rotation === 'halves' ? 1 : 0,
          form.activation === 'softplus' ? 1 : 0,
          form.floor,
          ...at,
          4 * (y.offset + start * rank * channels),
          length,
          heads,
          width,
          states,
          B.shape[1] / (rank * states),
          rank,
          angles,
          work,
        );
      }
      return y;
    },

    mimoGate(y, gate, wGate, wOut) {
      const op = 'mimoGate';
      const kernels = memory.kernels(op);
      checkMimoGate(y, gate, wGate, wOut);
      const [ranks, gates] = [memory.address(op, 'y', y), memory.address(op, 'gate', gate)];
      const [inner, outer] = [addressOf(memory, op, wGate), addressOf(memory, op, wOut)];
      const [heads, rank, width] = wGate.shape as [number, number, number];
      const [tokens, channels] = gate.shape;
      const out = memory.tensor(tokens, channels); // [T, R H P] -> [T, H P]
      kernels.mimo_gate(
        ranks,
        y.rowStride,
        gates,
        gate.rowStride,
        inner,
        outer,
        4 * out.offset,
        tokens,
        heads,
        rank,
        width,
      );
      return out;
    },
  };
}
