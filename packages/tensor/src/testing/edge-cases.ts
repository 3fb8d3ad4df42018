import type { OpName } from '../backend.ts';
import { attentionCase, ropeCase } from './attention-case.ts';
import { addCase, embeddingCase, linearCase, logitsCase, type OpCase, rmsNormCase } from './cases.ts';
import { concatCase, mimoGateCase, siluGateCase } from './gate-cases.ts';
import { geluCase, layerNormCase } from './layer-cases.ts';
import { mamba3Case } from './mamba3-case.ts';
import type { Random } from './random.ts';
import { convCase, scanCase } from './sequence-ops.ts';
import { chunkedPlan, type SequenceCase } from './sequences.ts';
import { ssdCase } from './ssd-case.ts';
import type { PlainDType } from './weights.ts';

/** Widths that do not divide a lane, a vector or a block, on both sides of each border. */
export const WIDTHS: readonly number[] = [1, 3, 5, 7, 8, 9, 15, 17, 31, 33];
/** Around one vector of 16. */
export const STATE_SIZES: readonly number[] = [1, 15, 16, 17];
/** A length that backends may cut work into. */
export const CHUNK = 64;
const DTYPES: readonly PlainDType[] = ['f32', 'f16', 'bf16'];
const NO_LIMIT: readonly [number, number] = [0, Number.POSITIVE_INFINITY];
const NONE = { left: 0, right: 0 };
const BOTH = { left: 3, right: 2 };

/** Nothing, one row, two, on both sides of the taps, and on both sides of a chunk. */
const lengthsFor = (taps: number): number[] => [
  ...new Set([0, 1, 2, taps - 1, taps, taps + 1, CHUNK - 1, CHUNK, CHUNK + 1]),
];

/** Each op at the sizes where kernels go wrong. */
export const EDGE_CASES: Readonly<Record<OpName, (random: Random) => Generator<OpCase>>> = {
  *linear(random) {
    for (const dtype of DTYPES) {
      for (const inputs of WIDTHS) {
        for (const outputs of WIDTHS) {
          const rows = random.integer(0, 9);
          yield linearCase(random, rows, inputs, outputs, dtype, outputs % 2 === 1, rows % 2 ? BOTH : NONE);
        }
      }
      for (const rows of [0, 1, 2, 3, 4, 5, 7, 8, 9, CHUNK - 1, CHUNK, CHUNK + 1]) {
        yield linearCase(random, rows, 33, 31, dtype, true, BOTH);
        yield linearCase(random, rows, CHUNK, CHUNK, dtype, false, NONE);
      }
      yield linearCase(random, 3, 520, 130, dtype, false, NONE);
    }
  },
  *embedding(random) {
    for (const dtype of DTYPES) {
      for (const channels of WIDTHS) {
        for (const tokens of [0, 1, 2, CHUNK + 1]) yield embeddingCase(random, tokens, 37, channels, dtype);
      }
    }
  },
  *rmsNorm(random) {
    for (const channels of [...WIDTHS, 130]) {
      for (const rows of [0, 1, 2, CHUNK + 1]) {
        for (const pad of [NONE, BOTH]) yield rmsNormCase(random, rows, channels, 1e-5, rows !== 2, pad);
        for (const groups of [2, 3, 6]) {
          const repeats = channels % 2 === 1 ? groups : groups / [1, 2, 3][rows % 3]!;
          const whole = Number.isInteger(repeats) ? repeats : 1;
          yield rmsNormCase(random, rows, channels * groups, 1e-5, rows !== 2, BOTH, 0, groups, whole);
        }
      }
    }
  },
  *layerNorm(random) {
    for (const channels of [...WIDTHS, 130]) {
      for (const rows of [0, 1, 2, CHUNK + 1]) {
        for (const pad of [NONE, BOTH]) yield layerNormCase(random, rows, channels, 1e-5, rows !== 2, pad);
      }
    }
  },
  *gelu(random) {
    for (const channels of WIDTHS) {
      for (const rows of [0, 1, 2, CHUNK + 1]) {
        for (const form of ['erf', 'tanh'] as const)
          yield geluCase(random, rows, channels, form, rows === 2 ? BOTH : NONE);
      }
    }
  },
  *rope(random) {
    for (const width of WIDTHS) {
      for (const turned of new Set([0, 1, width >> 2, width >> 1].filter((n) => 2 * n <= width))) {
        for (const rotation of ['halves', 'pairs'] as const) {
          for (const position of [0, 1000]) {
            const sequences = [{ length: 1 + (width % 3), position }, { length: 0 }, { length: 2 }];
            yield ropeCase(random, { heads: 1 + (width % 4), width, turned, rotation, sequences });
          }
        }
      }
    }
  },
  *attention(random) {
    for (const width of [1, 7, 8, 9, 17]) {
      for (const group of [1, 3]) {
        for (const length of [0, 1, 2, 3, 4, 5, CHUNK / 2 - 1, CHUNK / 2 + 1, CHUNK, CHUNK + 1]) {
          const position = [0, 1, CHUNK - 2, CHUNK, CHUNK + 1][(length + width) % 5]!;
          const sequences = [{ length, position, resets: length === 5 ? [0] : [] }];
          yield attentionCase(random, { heads: 1 + (width % 3), group, width, sequences, packed: length % 2 === 1 });
        }
      }
    }
  },
  *causalConv1d(random) {
    for (const taps of [1, 2, 3, 4]) {
      for (const length of lengthsFor(taps)) {
        for (const channels of WIDTHS) {
          yield convCase(random, {
            channels,
            taps,
            bias: channels % 3 !== 0,
            activation: length % 2 ? 'silu' : 'none',
            sequences: [{ length, resets: channels % 2 ? [] : [0] }],
            packed: channels > 8,
          });
        }
      }
    }
  },
  *selectiveScan(random) {
    for (const states of STATE_SIZES) {
      for (const length of [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1]) {
        for (const channels of length > 2 ? [1, 5, 9, 17] : WIDTHS) {
          yield scanCase(random, {
            channels,
            states,
            skip: length !== 1,
            gate: channels % 3 !== 0,
            bias: states !== 15,
            softplus: length !== 2,
            sequences: [{ length, resets: channels === 5 ? [0] : [] }],
            packed: channels % 2 === 1,
          });
        }
      }
    }
  },
  *ssd(random) {
    for (const states of [...STATE_SIZES, 7, 8, 9, 20]) {
      for (const length of [0, 1, 2, CHUNK / 2, CHUNK / 2 + 1, CHUNK + 1]) {
        for (const width of [1, 3, 4, 8, 9]) {
          const heads = width === 4 ? 4 : 6;
          yield ssdCase(random, {
            heads,
            width,
            states,
            groups: [1, 2, heads][(length + width) % 3]!,
            skip: length === 1 ? 'none' : length === 2 ? 'channel' : 'head',
            bias: states !== 15,
            limit: states === 16 ? [0.25, 0.75] : NO_LIMIT,
            sequences: [{ length, resets: width === 3 ? [0] : [] }],
            packed: width !== 4,
          });
        }
      }
    }
  },
  *mamba3Scan(random) {
    for (const states of [1, 2, 7, 8, 9, 16, 20]) {
      for (const length of [0, 1, 2, 7, 8, 9, CHUNK / 2, CHUNK / 2 + 1]) {
        for (const rank of [1, 2, 4]) {
          const halves = rank > 1 && states % 2 === 0;
          yield mamba3Case(random, {
            heads: 6,
            width: [1, 4, 5][(length + rank) % 3]!,
            states,
            groups: [1, 2, 6][(length + states) % 3]!,
            rank,
            angles: Math.floor(states / (length % 2 === 0 ? 2 : 4)),
            rotation: halves ? 'halves' : 'pairs',
            activation: length % 2 === 0 ? 'heavyTail' : 'softplus',
            projected: rank > 1,
            sequences: [{ length, resets: rank === 2 ? [0] : [] }],
            packed: states !== 8,
          });
        }
      }
    }
  },
  *mimoGate(random) {
    for (const width of WIDTHS) {
      for (const rank of [1, 2, 4]) {
        for (const rows of [0, 1, 3]) {
          yield mimoGateCase(random, rows, [3, rank, width], rows === 1 ? BOTH : NONE, rank === 2 ? BOTH : NONE);
        }
      }
    }
  },
  *siluGate(random) {
    for (const channels of WIDTHS) {
      for (const rows of [0, 1, 2, CHUNK + 1]) {
        yield siluGateCase(random, rows, channels, rows === 2 ? BOTH : NONE, rows === 1 ? BOTH : NONE);
      }
    }
  },
  *concat(random) {
    for (const channels of [0, ...WIDTHS]) {
      for (const rows of [0, 1, 2, CHUNK + 1]) {
        yield concatCase(random, rows, channels, rows === 1 ? 0 : 5, rows === 2 ? BOTH : NONE);
      }
    }
  },
  *add(random) {
    for (const channels of WIDTHS) {
      for (const rows of [0, 1, 2, CHUNK + 1]) yield addCase(random, rows, channels, NONE, rows === 2 ? BOTH : NONE);
    }
  },
  *logits(random) {
    for (const dtype of DTYPES) {
      for (const vocabulary of WIDTHS) {
        for (const padded of [0, 7]) {
          const asked = Int32Array.from([[], [4], [0, 4, 4, 2]][vocabulary % 3]!);
          yield logitsCase(random, 5, 33, vocabulary, padded, dtype, asked, padded ? BOTH : NONE);
        }
      }
    }
  },
};

const SSD = { heads: 6, width: 5, groups: 2, skip: 'head', bias: true, limit: [0, 1.5] } as const;

const MAMBA3 = { heads: 4, width: 5, groups: 2, angles: 3, rotation: 'halves', activation: 'heavyTail' } as const;
const MAMBA3_SIZES = [
  { ...MAMBA3, states: 8, rank: 3, projected: true },
  { ...MAMBA3, states: 15, rank: 1, projected: false, rotation: 'pairs', activation: 'softplus' },
] as const;

/** Several sequences of different lengths in one call, one of them empty, one reset midway, one after its end. */
const RAGGED = [
  { length: 5 },
  { length: 0 },
  { length: CHUNK + 1, resets: [0] },
  { length: 1 },
  { length: 9, resets: [4] },
  { length: 3, resets: [3] },
  { length: 0, resets: [0] },
];

/** The sequence ops on ragged batches with carried states. */
export function raggedCases(random: Random): SequenceCase[] {
  const scan = { channels: 9, skip: true, gate: true, bias: true, softplus: true, sequences: RAGGED, packed: true };
  return [
    ...[1, 2, 3, 4].map((taps) =>
      convCase(random, { channels: 9, taps, bias: true, activation: 'silu', sequences: RAGGED, packed: true }),
    ),
    ...STATE_SIZES.map((states) => scanCase(random, { ...scan, states })),
    ...STATE_SIZES.map((states) => ssdCase(random, { ...SSD, states, sequences: RAGGED, packed: true })),
    ...MAMBA3_SIZES.map((sizes) => mamba3Case(random, { ...sizes, sequences: RAGGED, packed: true })),
  ];
}

/** `attention` and `rope` on the same batches, some going on from a cache. */
export function raggedAttention(random: Random): SequenceCase[] {
  const sequences = RAGGED.map((shape, i) => ({ ...shape, position: [0, 3, CHUNK - 2][i % 3]! }));
  return [
    ...[1, 2, 4].map((group) => attentionCase(random, { heads: 2, group, width: 9, sequences, packed: true })),
    ...(['halves', 'pairs'] as const).map((rotation) =>
      ropeCase(random, { heads: 3, width: 11, turned: 5, rotation, sequences }),
    ),
  ];
}

/** softplus at +-100 and around 20, where it turns into the identity. */
export function extremeScans(random: Random): SequenceCase[] {
  const ssds = STATE_SIZES.map((states) =>
    ssdCase(random, { ...SSD, states, limit: NO_LIMIT, sequences: [{ length: 30 }], packed: false, extremes: true }),
  );
  const long = { ...SSD, width: 8, states: 16, limit: NO_LIMIT, packed: false, extremes: true };
  ssds.push(ssdCase(random, { ...long, sequences: [{ length: CHUNK + 6 }] }));
  const scans = STATE_SIZES.map((states) =>
    scanCase(random, {
      channels: 7,
      states,
      skip: false,
      gate: states === 16,
      bias: states !== 17,
      softplus: true,
      sequences: [{ length: 30 }],
      packed: false,
      extremes: true,
    }),
  );
  const mamba3s = MAMBA3_SIZES.map((sizes) =>
    mamba3Case(random, { ...sizes, sequences: [{ length: 30 }], packed: false, extremes: true }),
  );
  return [...scans, ...ssds, ...mamba3s];
}

/** Below which the updates of `skippingScans` are skipped; all are far from it. */
export const SKIP_BELOW = 1e-4;

/** Half of the updates, more or less, are skipped. */
export function skippingScans(random: Random): SequenceCase[] {
  const own = { sequences: [{ length: CHUNK + 6, resets: [3] }, { length: 5 }], packed: true, skipBelow: SKIP_BELOW };
  const scans = STATE_SIZES.map((states) =>
    scanCase(random, { ...own, channels: 17, states, skip: true, gate: states === 16, bias: true, softplus: true }),
  );
  const ssds = [...STATE_SIZES, 20].map((states) =>
    ssdCase(random, { ...SSD, ...own, width: states === 16 ? 8 : 5, states, limit: NO_LIMIT }),
  );
  return [...scans, ...ssds];
}

/** The same case served row by row, as decoding does, and in chunks of several sizes. */
export function replanned(whole: SequenceCase): SequenceCase[] {
  return [1, 2, 3, 5, CHUNK - 1, CHUNK].map((size) =>
    whole.planned(chunkedPlan(whole.sequences, size), size === 1 ? 'row by row' : `in chunks of ${size}`),
  );
}
