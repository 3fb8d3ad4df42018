import { type DType, f32ToF16 } from '@mamba-ts/tensor';

/**
 * The element types of the format in order of alignment, as huggingface/safetensors `tensor.rs` has them, with their
 * sizes in bits. Writers put tensors in descending order of this list.
 */
export const SAFETENSORS_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

/** An element type of the format, as its header spells it. */
export type SafetensorsDType = keyof typeof SAFETENSORS_BITS;

/** The element types that weights may have. */
export const WEIGHT_DTYPES: Readonly<Partial<Record<SafetensorsDType, DType>>> = {
  F32: 'f32',
  F16: 'f16',
  BF16: 'bf16',
};

/** The f16 bits of a float of 1 sign, 4 exponent and 3 fraction bits: f16 holds each exactly. */
function e4m3(code: number): number {
  const exponent = (code >> 3) & 15;
  const fraction = (code & 7) / 8;
  const magnitude = exponent === 0 ? fraction * 2 ** -6 : (1 + fraction) * 2 ** (exponent - 7);
  // One NaN of each sign, no infinity.
  return (code & 0x80 ? 0x8000 : 0) | ((code & 0x7f) === 0x7f ? 0x7e00 : f32ToF16(magnitude));
}

/**
 * Element types that are decoded to f16 as they are read (Micikevicius et al. 2022, FP8 Formats for Deep Learning): the f16 bits of each
 * code. e5m2 is the upper half of f16.
 */
export const DECODED_TO_F16: Readonly<Partial<Record<SafetensorsDType, Uint16Array>>> = {
  F8_E4M3: Uint16Array.from({ length: 256 }, (_, code) => e4m3(code)),
  F8_E5M2: Uint16Array.from({ length: 256 }, (_, code) => code << 8),
};

/**
 * What a reader keeps in memory of one header, whatever it says: with these, at most about 40 MB beside the header's own
 * bytes. Far beyond any checkpoint: the largest published have some 2,000 tensors per file.
 */
export const LIMITS = {
  /** Bytes; the reference reader's own limit. */
  header: 100_000_000,
  /** In one file. */
  tensors: 32_768,
  /** Axes of one tensor. */
  rank: 32,
  /** Bytes of all names and metadata, as written. */
  text: 8_388_608,
} as const;
