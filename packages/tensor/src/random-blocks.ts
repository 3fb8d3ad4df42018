import { DTYPES, f32ToF16, type QuantisedDType } from './dtype.ts';

/** Bits of a factor that makes the largest values about 1; `d` first, then `dmin`, which puts their mean near 0. */
const FACTORS: Readonly<Record<QuantisedDType, readonly (readonly [at: number, factor: number])[]>> = {
  q8_0: [[0, 1 / 128]],
  q4_0: [[0, 1 / 8]],
  q4_k: [
    [0, 1 / (63 * 7.5)],
    [2, 1 / 63],
  ],
  q5_k: [
    [0, 1 / (63 * 15.5)],
    [2, 1 / 63],
  ],
  q6_k: [[208, 1 / (128 * 32)]],
};

/** Blocks of random codes, for tests and benchmarks: values between about -spread and spread. `uniform()` draws from [0, 1). */
export function randomBlocks(
  dtype: QuantisedDType,
  blocks: number,
  spread: number,
  uniform: () => number,
): Uint8Array<ArrayBuffer> {
  const { bytes } = DTYPES[dtype];
  const all = new Uint8Array(blocks * bytes);
  for (let i = 0; i < all.length; i++) all[i] = 256 * uniform();
  for (let block = 0; block < blocks; block++) {
    // Blocks differ in their scales, so that one that is taken for another is found out.
    const share = 0.5 + 0.5 * uniform();
    for (const [at, factor] of FACTORS[dtype]) {
      const bits = f32ToF16(factor * spread * share);
      all[block * bytes + at] = bits & 255;
      all[block * bytes + at + 1] = bits >> 8;
    }
  }
  return all;
}
