/**
 * Element types that weights may have in memory and in files. Activations and states are always f32. The quantised ones
 * are ggml's: blocks of elements that share their scales (ggml-common.h).
 */
export type DType = 'f32' | 'f16' | 'bf16' | QuantisedDType;
/** Those of blocks. */
export type QuantisedDType = 'q8_0' | 'q4_0' | 'q4_k' | 'q5_k' | 'q6_k';

/** How elements lie in a file: `block` of them together in `bytes`. Blocks run along rows. */
export interface ElementLayout {
  readonly block: number;
  readonly bytes: number;
}

/** The layout of each dtype. */
export const DTYPES: Readonly<Record<DType, ElementLayout>> = {
  f32: { block: 1, bytes: 4 },
  f16: { block: 1, bytes: 2 },
  bf16: { block: 1, bytes: 2 },
  q8_0: { block: 32, bytes: 34 },
  q4_0: { block: 32, bytes: 18 },
  q4_k: { block: 256, bytes: 144 },
  q5_k: { block: 256, bytes: 176 },
  q6_k: { block: 256, bytes: 210 },
};

/** Bytes of `elements` elements, whole blocks, in a file. */
export const bytesOf = (dtype: DType, elements: number): number =>
  (elements / DTYPES[dtype].block) * DTYPES[dtype].bytes;

const scratch = new DataView(new ArrayBuffer(4));

/** The f32 value of a bfloat16 bit pattern: its upper 16 bits are the whole number. */
export function bf16ToF32(bits: number): number {
  scratch.setUint32(0, bits << 16);
  return scratch.getFloat32(0);
}

/** The f32 value of an IEEE 754 binary16 bit pattern. */
export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest binary16 bit pattern, ties to even; overflow goes to infinity (IEEE 754 section 4.3.1). */
export function f32ToF16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  if (magnitude < 0x38800000) {
    // Below the smallest normal: a multiple of 2^-24. JavaScript's exact doubles do the rounding.
    const scaled = Math.abs(scratch.getFloat32(0)) * 2 ** 24;
    const floor = Math.floor(scaled);
    const rest = scaled - floor;
    return sign | (floor + (rest > 0.5 || (rest === 0.5 && (floor & 1) === 1) ? 1 : 0));
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** The nearest bfloat16 bit pattern, ties to even. */
export function f32ToBf16(value: number): number {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0);
  if ((bits & 0x7fffffff) > 0x7f800000) return ((bits >>> 16) | 0x40) & 0xffff;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}
