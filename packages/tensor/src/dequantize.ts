import { f16ToF32 } from './dtype.ts';

/**
 * Decodes `blocks` whole blocks from `bytes` to f32 (ggml-quants.c `dequantize_row_*`, in the layouts of ggml-common.h).
 * Every product and difference below is exact in f64, so rounding once to f32 gives the bits of the originals.
 */
export type Dequantize = (bytes: Uint8Array, blocks: number, out: Float32Array) => void;

const f16At = (bytes: Uint8Array, at: number): number => f16ToF32(bytes[at]! | (bytes[at + 1]! << 8));
const i8 = (byte: number): number => (byte << 24) >> 24;

/** 32 elements: half a scale d, perhaps a minimum m, perhaps 32 fifth bits, then 16 bytes of which each holds i and i + 16. */
function small(fifth: boolean, minimum: boolean): Dequantize {
  const codes = 2 + (minimum ? 2 : 0) + (fifth ? 4 : 0);
  const middle = minimum ? 0 : fifth ? 16 : 8;
  return (bytes, blocks, out) => {
    for (let block = 0, at = 0, to = 0; block < blocks; block++, at += codes + 16, to += 32) {
      const d = f16At(bytes, at);
      const high = codes - 4 + at;
      for (let i = 0; i < 32; i++) {
        const byte = bytes[at + codes + (i & 15)]!;
        let q = i < 16 ? byte & 15 : byte >> 4;
        if (fifth) q |= ((bytes[high + (i >> 3)]! >> (i & 7)) & 1) << 4;
        const scaled = d * (q - middle);
        out[to + i] = minimum ? scaled + f16At(bytes, at + 2) : scaled;
      }
    }
  };
}

const q8_0: Dequantize = (bytes, blocks, out) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 34, to += 32) {
    const d = f16At(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = d * i8(bytes[at + 2 + i]!);
  }
};

const q2_k: Dequantize = (bytes, blocks, out) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 84, to += 256) {
    const d = f16At(bytes, at + 80);
    const dmin = f16At(bytes, at + 82);
    for (let i = 0; i < 256; i++) {
      const scale = bytes[at + (i >> 4)]!;
      // Byte j of each half holds the elements j, j + 32, j + 64, j + 96 of its 128.
      const q = (bytes[at + 16 + (i >> 7) * 32 + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = d * (scale & 15) * q - dmin * (scale >> 4);
    }
  }
};

const q3_k: Dequantize = (bytes, blocks, out) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 110, to += 256) {
    const d = f16At(bytes, at + 108);
    for (let i = 0; i < 256; i++) {
      const group = i >> 4;
      const low = (bytes[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15;
      const high = (bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3;
      const scale = (low | (high << 4)) - 32;
      const q = (bytes[at + 32 + (i >> 7) * 32 + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      const kept = (bytes[at + (i & 31)]! >> (i >> 5)) & 1;
      out[to + i] = d * scale * (q - (kept ? 0 : 4));
    }
  }
};

/** Eight scales and eight minima of 6 bits each in 12 bytes. */
const scale6 = (bytes: Uint8Array, at: number, j: number): number =>
  j < 4 ? bytes[at + j]! & 63 : (bytes[at + j + 4]! & 15) | ((bytes[at + j - 4]! >> 6) << 4);
const minimum6 = (bytes: Uint8Array, at: number, j: number): number =>
  j < 4 ? bytes[at + j + 4]! & 63 : (bytes[at + j + 4]! >> 4) | ((bytes[at + j]! >> 6) << 4);

/** d, dmin, scales and minima, perhaps 32 bytes of fifth bits, then 128 bytes of which each holds j and j + 32 of its 64. */
function q45_k(fifth: boolean): Dequantize {
  const codes = fifth ? 48 : 16;
  return (bytes, blocks, out) => {
    for (let block = 0, at = 0, to = 0; block < blocks; block++, at += codes + 128, to += 256) {
      const d = f16At(bytes, at);
      const dmin = f16At(bytes, at + 2);
      for (let group = 0; group < 8; group++) {
        const scale = d * scale6(bytes, at + 4, group);
        const minimum = dmin * minimum6(bytes, at + 4, group);
        for (let j = 0; j < 32; j++) {
          const byte = bytes[at + codes + (group >> 1) * 32 + j]!;
          let q = group & 1 ? byte >> 4 : byte & 15;
          if (fifth) q |= ((bytes[at + 16 + j]! >> group) & 1) << 4;
          out[to + group * 32 + j] = scale * q - minimum;
        }
      }
    }
  };
}

const q6_k: Dequantize = (bytes, blocks, out) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 210, to += 256) {
    const d = f16At(bytes, at + 208);
    for (let i = 0; i < 256; i++) {
      const half = i >> 7;
      const low = (bytes[at + half * 64 + (i & 63)]! >> (i & 64 ? 4 : 0)) & 15;
      const high = (bytes[at + 128 + half * 32 + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = d * i8(bytes[at + 192 + (i >> 4)]!) * ((low | (high << 4)) - 32);
    }
  }
};

/** The 16 values of the non-linear 4-bit types. */
const IQ4_VALUES = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

const iq4_nl: Dequantize = (bytes, blocks, out) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 18, to += 32) {
    const d = f16At(bytes, at);
    for (let i = 0; i < 32; i++) {
      const byte = bytes[at + 2 + (i & 15)]!;
      out[to + i] = d * IQ4_VALUES[i < 16 ? byte & 15 : byte >> 4]!;
    }
  }
};

const iq4_xs: Dequantize = (bytes, blocks, out) => {
  for (let block = 0, at = 0, to = 0; block < blocks; block++, at += 136, to += 256) {
    const d = f16At(bytes, at);
    const highs = bytes[at + 2]! | (bytes[at + 3]! << 8);
    for (let group = 0; group < 8; group++) {
      const low = (bytes[at + 4 + (group >> 1)]! >> (group & 1 ? 4 : 0)) & 15;
      const scale = d * ((low | (((highs >> (2 * group)) & 3) << 4)) - 32);
      for (let i = 0; i < 32; i++) {
        const byte = bytes[at + 8 + group * 16 + (i & 15)]!;
        out[to + group * 32 + i] = scale * IQ4_VALUES[i < 16 ? byte & 15 : byte >> 4]!;
      }
    }
  }
};

/** By the name of the type. */
export const DEQUANTIZE: ReadonlyMap<string, Dequantize> = new Map([
  ['q4_0', small(false, false)],
  ['q4_1', small(false, true)],
  ['q5_0', small(true, false)],
  ['q5_1', small(true, true)],
  ['q8_0', q8_0],
  ['q2_k', q2_k],
  ['q3_k', q3_k],
  ['q4_k', q45_k(false)],
  ['q5_k', q45_k(true)],
  ['q6_k', q6_k],
  ['iq4_nl', iq4_nl],
  ['iq4_xs', iq4_xs],
]);
