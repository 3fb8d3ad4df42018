import { causalConv1d } from '../reference/ops/causal-conv1d.ts';
import { vector } from '../weights.ts';
import { absolute, scanBounds } from './bounds.ts';
import { poison } from './cases.ts';
import type { Random } from './random.ts';
import { piecesOf, type Sequence, type SequenceCase, sequenceCase, wholePlan } from './sequences.ts';

/** Lengths and resets of the sequences of a case. */
export interface SequenceShape {
  readonly length: number;
  readonly resets?: readonly number[];
}

export interface ConvOptions {
  readonly channels: number;
  readonly taps: number;
  readonly bias: boolean;
  readonly activation: 'silu' | 'none';
  readonly sequences: readonly SequenceShape[];
  readonly packed: boolean;
  /** Share of cases with a NaN or infinity among the inputs. */
  readonly poisoned?: number;
}

export function convCase(random: Random, o: ConvOptions): SequenceCase {
  const { channels, taps } = o;
  const w = random.floats(channels * taps);
  const bias = o.bias ? random.floats(channels) : null;
  const field = { name: 'conv', shape: [channels, taps - 1], offset: random.pick([0, 3]) };
  const sequences = o.sequences.map(({ length, resets }): Sequence => {
    const x = random.floats(length * channels);
    poison(random, x, o.poisoned ?? 0);
    return { length, resets: resets ?? [], inputs: [x], initial: random.floats(channels * (taps - 1)) };
  });
  return sequenceCase({
    op: 'causalConv1d',
    label: `${channels} channels, ${taps} taps, ${o.activation}${bias ? ' + bias' : ''}`,
    widths: [channels],
    field,
    tail: 2,
    sequences,
    packed: o.packed,
    plan: wholePlan(sequences),
    load: (scope) => {
      const weight = scope.weight(vector('w', [channels, taps]), w);
      const offsets = scope.vector('bias', [channels], bias);
      return ([x], segments) => scope.backend.causalConv1d(x!, weight, offsets, o.activation, field, segments);
    },
    // The convolution of the magnitudes; silu only shrinks it. The state is a copy of inputs: exact.
    bound: ({ inputs, length, resets, initial }) => {
      const y = new Float64Array(length * channels);
      const x = { data: absolute(inputs[0]!), offset: 0, stride: channels, rows: length, columns: channels };
      const state = absolute(initial);
      const runs = piecesOf({ length, inputs, resets, initial }, 0, []).map((piece) => ({ ...piece, state }));
      causalConv1d(x, absolute(w), bias && absolute(bias), 'none', runs, y);
      return { y, state: null };
    },
  });
}

export interface ScanOptions {
  readonly channels: number;
  readonly states: number;
  readonly skip: boolean;
  readonly gate: boolean;
  readonly bias: boolean;
  readonly softplus: boolean;
  readonly sequences: readonly SequenceShape[];
  readonly packed: boolean;
  /** Deltas at +-100 and around 20 among the others. */
  readonly extremes?: boolean;
  /** Below which updates are skipped, with softplus: many deltas far below it, inputs far above it at some of them. */
  readonly skipBelow?: number;
  readonly poisoned?: number;
}

/**
 * Lets half of the steps be next to 0 after softplus; a quarter of those meet an input that matters all the same. `steps`
 * has one number for `width` of the `inputs`. The bounds of the whole recurrence hold: such steps hardly change them.
 */
export function makeStill(random: Random, steps: Float32Array, inputs: Float32Array, width: number): void {
  for (let i = 0; i < steps.length; i++) {
    if (!random.chance(0.5)) continue;
    steps[i] = -20;
    if (random.chance(0.25)) inputs[i * width + random.integer(0, width - 1)] = 1e9;
  }
}

export function scanCase(random: Random, o: ScanOptions): SequenceCase {
  const { channels, states } = o;
  // Moderate, so that with an infinity about, no factor beside it underflows in f32 alone.
  const A = random.floats(channels * states, o.extremes ? -16 : -2, o.extremes ? -0.01 : -0.1);
  const D = o.skip ? random.floats(channels) : null;
  const bias = o.bias ? random.floats(channels, -0.5, 0.5) : null;
  const field = { name: 'ssm', shape: [channels, states], offset: random.pick([0, 5]) };
  const sequences = o.sequences.map(({ length, resets }): Sequence => {
    const delta = o.softplus ? random.floats(length * channels, -4, 2) : random.floats(length * channels, 0, 1);
    if (o.extremes) {
      for (let i = 0; i < delta.length; i += 3) {
        delta[i] = random.pick([-100, 100, 19.5, 19.999, 20, 20.001, 20.5, -20, -88, 88]);
      }
    }
    const u = random.floats(length * channels);
    if (o.skipBelow !== undefined) makeStill(random, delta, u, 1);
    const inputs = [
      u,
      delta,
      random.floats(length * states),
      random.floats(length * states),
      random.floats(o.gate ? length * channels : 0, -6, 6),
    ];
    poison(random, random.pick(inputs), o.poisoned ?? 0);
    if (!o.gate) inputs.pop();
    return { length, resets: resets ?? [], inputs, initial: random.floats(channels * states) };
  });
  return sequenceCase({
    op: 'selectiveScan',
    label: `${channels} channels, ${states} states${o.skip ? ' + D' : ''}${o.gate ? ' + z' : ''}${o.bias ? ' + bias' : ''}${o.softplus ? ', softplus' : ''}`,
    widths: o.gate ? [channels, channels, states, states, channels] : [channels, channels, states, states],
    field,
    skipBelow: o.skipBelow,
    tail: 3,
    sequences,
    packed: o.packed,
    plan: wholePlan(sequences),
    load: (scope, skipping) => {
      const a = scope.weight(vector('A', [channels, states]), A);
      const d = scope.vector('D', [channels], D);
      const b = scope.vector('deltaBias', [channels], bias);
      return ([u, delta, B, C, z], segments) =>
        scope.backend.selectiveScan(u!, delta!, a, B!, C!, d, z ?? null, b, o.softplus, field, segments, skipping);
    },
    bound: ({ inputs, length, resets, initial }) =>
      scanBounds({
        u: inputs[0]!,
        delta: inputs[1]!,
        A,
        B: inputs[2]!,
        C: inputs[3]!,
        D,
        z: inputs[4] ?? null,
        deltaBias: bias,
        deltaSoftplus: o.softplus,
        rows: length,
        channels,
        states,
        initial,
        resets,
      }),
  });
}
