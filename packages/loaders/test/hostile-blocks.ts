import type { Random } from '../../../fuzz/random.ts';
import { GGML_TYPES } from '../src/gguf/types.ts';

/** Where the f16 scales of a block are, and its bytes of scales or minima that are not f16. */
const PLACES: Readonly<
  Record<string, { readonly halves: readonly number[]; readonly scales: readonly [number, number] }>
> = {
  q4_0: { halves: [0], scales: [0, 0] },
  q4_1: { halves: [0, 2], scales: [0, 0] },
  q5_0: { halves: [0], scales: [2, 6] },
  q5_1: { halves: [0, 2], scales: [4, 8] },
  q8_0: { halves: [0], scales: [0, 0] },
  q2_k: { halves: [80, 82], scales: [0, 16] },
  q3_k: { halves: [108], scales: [96, 108] },
  q4_k: { halves: [0, 2], scales: [4, 16] },
  q5_k: { halves: [0, 2], scales: [4, 16] },
  q6_k: { halves: [208], scales: [192, 208] },
  iq4_nl: { halves: [0], scales: [0, 0] },
  iq4_xs: { halves: [0], scales: [2, 8] },
};

/** Zeros, denormals, ones, the largest, infinities and NaN, of both signs. */
const HALVES = [0, 1, 0x3ff, 0x400, 0x3c00, 0x3c01, 0x7bff, 0x7c00, 0x7c01, 0x7e00, 0x7fff].flatMap((h) => [
  h,
  h | 0x8000,
]);

/** What is odd in the blocks: all random bits; odd f16 scales; every byte of the scales in turn; quants all alike. */
export const BLOCK_KINDS = ['random', 'halves', 'scales', 'quants', 'sweep'] as const;
export type BlockKind = (typeof BLOCK_KINDS)[number];

/**
 * `count` blocks of a quantised type, side by side. The f16 scales of `sweep` ones are the bit patterns from `first` on, of
 * which there are 65,536.
 */
export function hostileBlocks(random: Random, type: string, kind: BlockKind, count: number, first = 0): Uint8Array {
  const { bytes } = [...GGML_TYPES.values()].find(({ name }) => name === type)!;
  const { halves, scales } = PLACES[type]!;
  const out = Uint8Array.from({ length: bytes * count }, () => random.below(256));
  for (let block = 0; block < count; block++) {
    const at = block * bytes;
    const half = (): number => {
      if (kind === 'random') return random.below(65_536);
      if (kind === 'sweep') return (first + block) & 0xffff;
      return kind === 'halves' || random.chance(0.2) ? random.pick(HALVES) : 0x2000 + random.below(0x1000);
    };
    if (kind === 'quants') out.fill(random.pick([0, 0xff, 0x0f, 0xf0, 0x80, 0x7f, 0x55, 0xaa]), at, at + bytes);
    if (kind === 'scales') out.fill(random.below(256), at + scales[0], at + scales[1]);
    for (const place of halves) {
      const bits = half();
      out[at + place] = bits & 255;
      out[at + place + 1] = bits >> 8;
    }
  }
  return out;
}
