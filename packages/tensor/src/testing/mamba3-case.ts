import type { Mamba3Form } from '../backend.ts';
import { vector } from '../weights.ts';
import { mamba3Bounds } from './mamba3-bounds.ts';
import type { Random } from './random.ts';
import type { SequenceShape } from './sequence-ops.ts';
import { type Sequence, type SequenceCase, sequenceCase, wholePlan } from './sequences.ts';

export interface Mamba3Options {
  readonly heads: number;
  /** P, channels per head. */
  readonly width: number;
  readonly states: number;
  readonly groups: number;
  readonly rank: number;
  readonly angles: number;
  readonly rotation: Mamba3Form['rotation'];
  readonly activation: Mamba3Form['activation'];
  /** Whether x is projected to ranks. */
  readonly projected: boolean;
  readonly sequences: readonly SequenceShape[];
  readonly packed: boolean;
  /** Step sizes, decays, mixtures and angles far out among the others. */
  readonly extremes?: boolean;
  readonly poisoned?: number;
}

export function mamba3Case(random: Random, o: Mamba3Options): SequenceCase {
  const { heads, width, states, groups, rank, angles } = o;
  const [channels, selected] = [heads * width, rank * groups * states];
  const form: Mamba3Form = { rotation: o.rotation, activation: o.activation, floor: random.pick([1e-4, 0.5]) };
  const weights = {
    dtBias: random.floats(heads, -0.5, 0.5),
    biasB: random.floats(heads * rank * states),
    biasC: random.floats(heads * rank * states),
    D: random.floats(heads),
    mimoX: o.projected ? random.floats(heads * rank * width) : null,
  };
  // The four fields lie one after another; the case sees them as one.
  const offset = random.pick([0, 5]);
  const sizes = [heads * angles, channels * states, rank * heads * states, channels] as const;
  const starts = sizes.map((_, i) => offset + sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
  const state = {
    angle: { name: 'angle', shape: [heads, angles], offset: starts[0]! },
    ssm: { name: 'ssm', shape: [heads, width, states], offset: starts[1]! },
    k: { name: 'k', shape: [rank, heads, states], offset: starts[2]! },
    v: { name: 'v', shape: [heads, width], offset: starts[3]! },
  };
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const sequences = o.sequences.map(({ length, resets }): Sequence => {
    const inputs = [
      random.floats(length * channels),
      random.floats(length * heads, -4, 2),
      random.floats(length * heads, -3, 3),
      random.floats(length * heads, -4, 4),
      random.floats(length * angles),
      random.floats(length * selected),
      random.floats(length * selected),
    ];
    if (o.extremes) {
      for (const input of [inputs[1]!, inputs[2]!, inputs[3]!]) {
        for (let i = 0; i < input.length; i += 3) input[i] = random.pick([-100, 50, 19.999, 20.001, -20, -88, 88]);
      }
      for (let i = 0; i < inputs[4]!.length; i += 3) inputs[4]![i] = random.pick([-30, 30, 0, 1e-6, -9]);
    }
    // NaN, no infinities: a kernel may add v (k . q) to the output before or after it is summed with the state's.
    const poisoned = random.pick(inputs);
    if (poisoned.length > 0 && random.chance(o.poisoned ?? 0)) {
      poisoned[random.integer(0, poisoned.length - 1)] = Number.NaN;
    }
    const initial = random.floats(total);
    for (let i = 0; i < sizes[0]; i++) initial[i] = random.uniform(0, 2 * Math.PI);
    return { length, resets: resets ?? [], inputs, initial };
  });
  return sequenceCase({
    op: 'mamba3Scan',
    label: `${heads} heads of ${width}, ${states} states, ${groups} groups, rank ${rank}, ${angles} angles in ${o.rotation}, ${o.activation}, floor ${form.floor}${o.projected ? ', projected' : ''}`,
    widths: [channels, heads, heads, heads, angles, selected, selected],
    field: { name: 'mamba3', shape: [total], offset },
    angles: sizes[0],
    tail: 3,
    sequences,
    packed: o.packed,
    plan: wholePlan(sequences),
    load: (scope) => {
      const own = {
        dtBias: scope.weight(vector('dtBias', [heads]), weights.dtBias),
        biasB: scope.weight(vector('biasB', [heads, rank, states]), weights.biasB),
        biasC: scope.weight(vector('biasC', [heads, rank, states]), weights.biasC),
        D: scope.weight(vector('D', [heads]), weights.D),
        mimoX: scope.vector('mimoX', [heads, rank, width], weights.mimoX),
      };
      return ([x, dt, a, trap, angle, B, C], segments) =>
        scope.backend.mamba3Scan(
          { x: x!, dt: dt!, a: a!, trap: trap!, angle: angle!, B: B!, C: C! },
          own,
          form,
          state,
          segments,
        );
    },
    bound: (sequence) => mamba3Bounds(sequence, weights, form, { heads, width, states, groups, rank, angles }),
  });
}
