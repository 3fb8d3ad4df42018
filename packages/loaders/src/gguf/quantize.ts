import { f32ToF16 } from '@mamba-ts/tensor';
import { q4_k, q5_k, q6_k } from './quantize-k.ts';

/**
 * Encodes `blocks` whole blocks of finite values, each at most 65504, into `out` (ggml-quants.c `quantize_row_*_ref`), to
 * the same bytes: each step is rounded to f32 as there.
 */
export type Quantize = (values: Float32Array, blocks: number, out: Uint8Array) => void;

const f = Math.fround;

function writeF16(out: Uint8Array, at: number, value: number): void {
  const bits = f32ToF16(value);
  out[at] = bits & 0xff;
  out[at + 1] = bits >> 8;
}

/** 1 / d, and 0 for 0. */
const inverse = (d: number): number => (d === 0 ? 0 : f(1 / d));

/** The scale is that of the greatest element; codes -127 .. 127, halves away from zero. */
const q8_0: Quantize = (values, blocks, out) => {
  for (let block = 0, from = 0, at = 0; block < blocks; block++, from += 32, at += 34) {
    let greatest = 0;
    for (let i = from; i < from + 32; i++) greatest = Math.max(greatest, Math.abs(values[i]!));
    const d = f(greatest / 127);
    const id = inverse(d);
    writeF16(out, at, d);
    for (let i = 0; i < 32; i++) {
      const scaled = f(values[from + i]! * id);
      out[at + 2 + i] = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
    }
  }
};

/** 32 codes of 4 bits, in 5-bit types with the fifth bits in the four bytes before them. */
function writeCodes(codes: Uint8Array, fifth: boolean, out: Uint8Array, at: number): void {
  const low = at + (fifth ? 4 : 0);
  if (fifth) out.fill(0, at, low);
  for (let i = 0; i < 32; i++) {
    if (i < 16) out[low + i] = (codes[i]! & 15) | ((codes[i + 16]! & 15) << 4);
    if (fifth) out[at + (i >> 3)]! |= (codes[i]! >> 4) << (i & 7);
  }
}

const codes = new Uint8Array(32);

/** The greatest element, with its sign, is the lowest code: -8 of 4 bits, -16 of 5. */
function symmetric(fifth: boolean): Quantize {
  const middle = fifth ? 16 : 8;
  const bytes = fifth ? 22 : 18;
  return (values, blocks, out) => {
    for (let block = 0, from = 0, at = 0; block < blocks; block++, from += 32, at += bytes) {
      let greatest = 0;
      for (let i = from; i < from + 32; i++) if (Math.abs(values[i]!) > Math.abs(greatest)) greatest = values[i]!;
      const d = f(greatest / -middle);
      const id = inverse(d);
      writeF16(out, at, d);
      for (let i = 0; i < 32; i++) {
        codes[i] = Math.min(2 * middle - 1, Math.trunc(f(f(values[from + i]! * id) + middle + 0.5)));
      }
      writeCodes(codes, fifth, out, at + 2);
    }
  };
}

/** 31 steps from the least element to the greatest. */
const q5_1: Quantize = (values, blocks, out) => {
  for (let block = 0, from = 0, at = 0; block < blocks; block++, from += 32, at += 24) {
    let low = Number.POSITIVE_INFINITY;
    let high = Number.NEGATIVE_INFINITY;
    for (let i = from; i < from + 32; i++) {
      if (values[i]! < low) low = values[i]!;
      if (values[i]! > high) high = values[i]!;
    }
    const d = f(f(high - low) / 31);
    const id = inverse(d);
    writeF16(out, at, d);
    writeF16(out, at + 2, low);
    for (let i = 0; i < 32; i++) codes[i] = Math.trunc(f(f(f(values[from + i]! - low) * id) + 0.5));
    writeCodes(codes, true, out, at + 4);
  }
};

/** Quantised types that can be written; q5_0 and q5_1 stand in where rows do not divide into blocks of 256. */
export const QUANTIZE: ReadonlyMap<string, Quantize> = new Map(
  Object.entries({ q8_0, q4_0: symmetric(false), q5_0: symmetric(true), q5_1, q4_k, q5_k, q6_k }),
);
