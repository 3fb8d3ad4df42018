import type { OpName } from '../backend.ts';
import { attentionCase, type CachedShape, ropeCase } from './attention-case.ts';
import { addCase, embeddingCase, linearCase, logitsCase, type OpCase, randomPad, rmsNormCase } from './cases.ts';
import { concatCase, mimoGateCase, siluGateCase } from './gate-cases.ts';
import { geluCase, layerNormCase } from './layer-cases.ts';
import { mamba3Case } from './mamba3-case.ts';
import type { Random } from './random.ts';
import { convCase, type SequenceShape, scanCase } from './sequence-ops.ts';
import { randomPlan, type SequenceCase } from './sequences.ts';
import { ssdCase } from './ssd-case.ts';
import type { PlainDType } from './weights.ts';

const DTYPES: readonly PlainDType[] = ['f32', 'f16', 'bf16'];

/** In one case of eight, one input is NaN or infinite. */
const POISONED = 1 / 8;

/** Rows and widths: mostly small, now and then past a block border. */
const rowsOf = (random: Random): number => (random.chance(0.05) ? random.integer(9, 40) : random.integer(0, 8));
const widthOf = (random: Random): number => (random.chance(0.1) ? random.integer(18, 70) : random.integer(1, 17));

function sequencesOf(random: Random): SequenceShape[] {
  return Array.from({ length: random.integer(1, 3) }, () => {
    const length = random.chance(0.1) ? random.integer(9, 24) : random.integer(0, 8);
    const resets = random.chance(0.3) ? [random.integer(0, length)] : [];
    return { length, resets };
  });
}

const cachedOf = (random: Random): CachedShape[] =>
  sequencesOf(random).map((shape) => ({
    ...shape,
    position: random.chance(0.2) ? random.integer(9, 70) : random.integer(0, 8),
  }));

const servedAtRandom = (random: Random, whole: SequenceCase): SequenceCase =>
  whole.planned(randomPlan(random, whole.sequences), 'cut and packed at random');

/** One case of random shape, options and values per op. */
export const RANDOM_CASES: Readonly<Record<OpName, (random: Random) => OpCase>> = {
  linear: (random) =>
    linearCase(
      random,
      rowsOf(random),
      widthOf(random),
      widthOf(random),
      random.pick(DTYPES),
      random.chance(0.5),
      randomPad(random),
      POISONED,
    ),
  embedding: (random) =>
    embeddingCase(random, rowsOf(random), random.integer(1, 40), widthOf(random), random.pick(DTYPES), POISONED),
  rmsNorm: (random) => {
    const groups = random.chance(0.5) ? 1 : random.integer(2, 5);
    return rmsNormCase(
      random,
      rowsOf(random),
      widthOf(random) * groups,
      random.pick([1e-5, 1e-6, 1e-12]),
      random.chance(0.8),
      randomPad(random),
      POISONED,
      groups,
      random.pick([1, groups, groups % 2 === 0 ? groups / 2 : 1]),
    );
  },
  layerNorm: (random) =>
    layerNormCase(
      random,
      rowsOf(random),
      widthOf(random),
      random.pick([1e-5, 1e-6, 1e-12]),
      random.chance(0.7),
      randomPad(random),
      POISONED,
    ),
  gelu: (random) =>
    geluCase(random, rowsOf(random), widthOf(random), random.pick(['erf', 'tanh']), randomPad(random), POISONED),
  rope: (random) => {
    const width = widthOf(random);
    return servedAtRandom(
      random,
      ropeCase(random, {
        heads: random.integer(1, 4),
        width,
        turned: random.integer(0, width >> 1),
        rotation: random.pick(['halves', 'pairs']),
        sequences: cachedOf(random),
        poisoned: POISONED,
      }),
    );
  },
  attention: (random) =>
    servedAtRandom(
      random,
      attentionCase(random, {
        heads: random.integer(1, 3),
        group: random.integer(1, 4),
        width: widthOf(random),
        sequences: cachedOf(random),
        packed: random.chance(0.5),
        poisoned: POISONED,
      }),
    ),
  causalConv1d: (random) =>
    servedAtRandom(
      random,
      convCase(random, {
        channels: widthOf(random),
        taps: random.integer(1, 4),
        bias: random.chance(0.5),
        activation: random.pick(['silu', 'none']),
        sequences: sequencesOf(random),
        packed: random.chance(0.5),
        poisoned: POISONED,
      }),
    ),
  selectiveScan: (random) => {
    const extremes = random.chance(0.3);
    return servedAtRandom(
      random,
      scanCase(random, {
        channels: widthOf(random),
        states: random.pick([1, 2, 3, 4, 5, 8, 15, 16, 17]),
        skip: random.chance(0.7),
        gate: random.chance(0.7),
        bias: random.chance(0.7),
        softplus: extremes || random.chance(0.7),
        sequences: sequencesOf(random),
        packed: random.chance(0.5),
        extremes,
        poisoned: extremes ? 0 : POISONED,
      }),
    );
  },
  ssd: (random) => {
    const extremes = random.chance(0.3);
    const groups = random.integer(1, 3);
    // Long enough, and of sizes, for forms that take many tokens at once.
    const long = random.chance(0.2);
    return servedAtRandom(
      random,
      ssdCase(random, {
        heads: groups * random.integer(1, 3),
        width: random.pick(long ? [8, 16] : [1, 2, 3, 4, 5, 8, 9]),
        states: random.pick(long ? [8, 16, 24] : [1, 2, 3, 4, 5, 8, 11, 12, 15, 16, 17, 20]),
        groups,
        skip: random.pick(['none', 'head', 'channel']),
        bias: random.chance(0.7),
        limit: random.chance(0.3) ? [0.25, 0.75] : [0, Number.POSITIVE_INFINITY],
        sequences: long ? [{ length: random.integer(30, 70) }] : sequencesOf(random),
        packed: random.chance(0.5),
        extremes,
        poisoned: extremes ? 0 : POISONED,
      }),
    );
  },
  mamba3Scan: (random) => {
    const extremes = random.chance(0.2);
    const groups = random.integer(1, 3);
    const states = random.pick([1, 2, 3, 4, 5, 8, 12, 15, 16, 18]);
    const rank = random.pick([1, 1, 2, 3, 4]);
    return servedAtRandom(
      random,
      mamba3Case(random, {
        heads: groups * random.integer(1, 3),
        width: random.pick([1, 2, 3, 4, 5, 8, 9]),
        states,
        groups,
        rank,
        angles: random.integer(0, Math.floor(states / 2)),
        rotation: states % 2 === 0 ? random.pick(['pairs', 'halves']) : 'pairs',
        activation: random.pick(['heavyTail', 'softplus']),
        projected: rank > 1 || random.chance(0.2),
        sequences: sequencesOf(random),
        packed: random.chance(0.5),
        extremes,
        poisoned: extremes ? 0 : POISONED,
      }),
    );
  },
  mimoGate: (random) =>
    mimoGateCase(
      random,
      rowsOf(random),
      [random.integer(1, 4), random.integer(1, 4), random.integer(1, 9)],
      randomPad(random),
      randomPad(random),
      POISONED,
    ),
  siluGate: (random) =>
    siluGateCase(random, rowsOf(random), widthOf(random), randomPad(random), randomPad(random), POISONED),
  concat: (random) => concatCase(random, rowsOf(random), widthOf(random), widthOf(random), randomPad(random), POISONED),
  add: (random) => addCase(random, rowsOf(random), widthOf(random), randomPad(random), randomPad(random), POISONED),
  logits: (random) => {
    const rows = random.integer(1, 8);
    const asked = Int32Array.from({ length: random.integer(0, 4) }, () => random.integer(0, rows - 1));
    return logitsCase(
      random,
      rows,
      widthOf(random),
      widthOf(random),
      random.integer(0, 7),
      random.pick(DTYPES),
      asked,
      randomPad(random),
      POISONED,
    );
  },
};
