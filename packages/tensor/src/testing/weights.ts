import type { Backend } from '../backend.ts';
import { bytesOf, type DType, f32ToBf16, f32ToF16, type QuantisedDType } from '../dtype.ts';
import type { ParameterSpec, Weight } from '../weights.ts';

/** Types that have a place for each element. */
export type PlainDType = Exclude<DType, QuantisedDType>;

/** Little-endian bytes of `values` in `dtype`, rounded to nearest even. */
export function encode(values: Float32Array, dtype: PlainDType): Uint8Array {
  const bytes = new Uint8Array(bytesOf(dtype, values.length));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) {
    if (dtype === 'f32') view.setFloat32(4 * i, values[i]!, true);
    else view.setUint16(2 * i, dtype === 'f16' ? f32ToF16(values[i]!) : f32ToBf16(values[i]!), true);
  }
  return bytes;
}

/** `values` in their logical order as a weight of `backend`, as if read from a file of `dtype` in `pieces` pieces. */
export function uploadWeight(
  backend: Backend,
  spec: ParameterSpec,
  values: Float32Array,
  dtype: PlainDType = 'f32',
  pieces = 1,
): Weight {
  const bytes = encode(values, dtype);
  const writer = backend.createWeight(spec, dtype);
  const step = bytesOf(dtype, Math.ceil(values.length / pieces));
  for (let at = 0; at < bytes.length; at += step) writer.write(bytes.subarray(at, Math.min(at + step, bytes.length)));
  return writer.finish();
}
