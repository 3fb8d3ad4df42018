import { elementCount } from './check.ts';
import { DEQUANTIZE } from './dequantize.ts';
import { bf16ToF32, DTYPES, type DType, f16ToF32, type QuantisedDType } from './dtype.ts';
import type { WeightSource } from './weights.ts';

/** Decodes little-endian `bytes` (whole elements, or blocks of them) to f32. */
export function decodeToF32(bytes: Uint8Array, dtype: DType): Float32Array {
  const { block, bytes: width } = DTYPES[dtype];
  const blocks = bytes.byteLength / width;
  const out = new Float32Array(blocks * block);
  if (isQuantised(dtype)) {
    DEQUANTIZE.get(dtype)!(bytes, blocks, out);
    return out;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'f32') for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(4 * i, true);
  else {
    const convert = dtype === 'f16' ? f16ToF32 : bf16ToF32;
    for (let i = 0; i < out.length; i++) out[i] = convert(view.getUint16(2 * i, true));
  }
  return out;
}

/** All of one tensor of `source`, in f32, row-major. The source has a tensor of this name. Throws what reading throws. */
export async function readToF32(source: WeightSource, name: string, signal?: AbortSignal): Promise<Float32Array> {
  const { dtype, shape } = source.entries.get(name)!;
  const values = new Float32Array(elementCount(shape));
  let at = 0;
  for await (const piece of source.read(name, signal)) {
    const part = decodeToF32(piece, dtype);
    values.set(part, at);
    at += part.length;
  }
  return values;
}

/** Whether elements lie in blocks that share their scales. */
export const isQuantised = (dtype: DType): dtype is QuantisedDType => DTYPES[dtype].block > 1;

/** Where a block's half-precision factors lie. */
const FACTORS: Readonly<Record<QuantisedDType, readonly number[]>> = {
  q8_0: [0],
  q4_0: [0],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
};
/** The exponent bits of 2^6. */
const BEYOND = (6 + 15) << 10;

/** The first half-precision factor of whole blocks that is not below 64 (no weight comes near that), NaN included; else null. */
export function excessiveFactor(bytes: Uint8Array, dtype: QuantisedDType): number | null {
  const { buffer, byteOffset } = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
  const words = new Uint16Array(buffer, byteOffset, bytes.byteLength >> 1);
  const step = DTYPES[dtype].bytes / 2;
  for (const first of FACTORS[dtype]) {
    for (let at = first / 2; at < words.length; at += step) {
      if ((words[at]! & 0x7fff) >= BEYOND) return f16ToF32(words[at]!);
    }
  }
  return null;
}
