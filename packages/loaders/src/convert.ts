import {
  bytesOf,
  DTYPES,
  type DType,
  decodeToF32,
  excessiveFactor,
  f32ToBf16,
  f32ToF16,
  MambaError,
  type ParameterSpec,
  type QuantisedDType,
  type TensorEntry,
  type WeightSource,
} from '@mamba-ts/tensor';
import { QUANTIZE } from './gguf/quantize.ts';
import { GGML_TYPES } from './gguf/types.ts';
import { shownName } from './safetensors/header.ts';

// From the tensors of one checkpoint to those of another: read, computed and encoded a piece at a time.

/** A parameter of a model: what is to be written, and its shape as used. */
export type Parameter = Pick<ParameterSpec, 'name' | 'role' | 'shape'>;

/** A model to be written. */
export interface Checkpoint {
  /** All of its parameters, the head only where it is not the embedding. */
  readonly parameters: readonly Parameter[];
  /** Holds them under their names. */
  readonly weights: WeightSource;
}

/** How to write it. */
export interface ConvertOptions {
  readonly signal?: AbortSignal | undefined;
  /** Elements written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Counts what `recoded` tells of each of `parameters`, for `onProgress`. */
export function counterOf(parameters: readonly Parameter[], { onProgress }: ConvertOptions): (count: number) => void {
  const total = parameters.reduce((sum, { shape }) => sum + shape.reduce((product, axis) => product * axis, 1), 0);
  let done = 0;
  return (count) => {
    done += count;
    onProgress?.(done, total);
  };
}

/** Elements encoded at once: few, so that an interrupt is heard. A multiple of every block. */
const STEP = 1 << 16;

const sizes = (shape: readonly number[]): string => shape.filter((axis) => axis !== 1).join();

/** The entry of a parameter. Throws `MISSING_TENSOR` and `TENSOR_SHAPE`. */
export function entryOf(source: WeightSource, { name, shape }: Parameter): TensorEntry {
  const entry = source.entries.get(name);
  if (!entry) {
    throw new MambaError(
      'MISSING_TENSOR',
      `the checkpoint has no tensor ${shownName(name)} (expected with shape [${shape}]). Does config.json belong to it?`,
      { tensor: name },
    );
  }
  if (sizes(entry.shape) !== sizes(shape)) {
    throw new MambaError(
      'TENSOR_SHAPE',
      `tensor ${shownName(name)} has shape [${entry.shape}], but config.json asks for [${shape}]`,
      { tensor: name, expected: shape, found: entry.shape },
    );
  }
  return entry;
}

/** Where the file to be written holds what the parameter's map makes of it (A = -exp(A_log)), or the other way round. */
export type Computed = 'as it is' | 'A of A_log' | 'A_log of A';

const COMPUTE: Readonly<Record<Computed, ((value: number) => number) | null>> = {
  'as it is': null,
  'A of A_log': (value) => -Math.exp(value),
  'A_log of A': (value) => Math.log(-value),
};

/** How a tensor is written. */
export interface Recoding {
  /** A type of GGUF: f32, f16, bf16 or one of `QUANTIZE`. */
  readonly type: string;
  readonly computed?: Computed | undefined;
  /** For each row to be written, the row it is; in order unless told otherwise. */
  readonly rows?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of elements since the last call. */
  readonly onElements?: ((count: number) => void) | undefined;
}

/**
 * The bytes of a tensor in another type. Throws `TENSOR_RANGE` for a value that the type cannot hold: beyond f16 in f16
 * and quantised types, in the latter also one that is no number, and an A that is not negative.
 */
export async function* recoded(
  source: WeightSource,
  entry: TensorEntry,
  { type, computed = 'as it is', rows, signal, onElements }: Recoding,
): AsyncGenerator<Uint8Array> {
  const { name, dtype } = entry;
  const compute = COMPUTE[computed];
  const pieces = rows ? reordered(source, entry, rows, signal) : source.read(name, signal);
  if (dtype === type && !compute) {
    const { block, bytes } = DTYPES[dtype];
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      yield piece;
      onElements?.((piece.byteLength / bytes) * block);
    }
    return;
  }
  const encode = encoderOf(type, name);
  for await (const values of decoded(pieces, dtype)) {
    for (let at = 0; at < values.length; at += STEP) {
      signal?.throwIfAborted();
      const part = values.subarray(at, at + STEP);
      if (compute) {
        for (let i = 0; i < part.length; i++) part[i] = finite(compute(part[i]!), name, type);
      }
      yield encode(part);
      onElements?.(part.length);
    }
  }
}

/** The values of a tensor in pieces that end where the blocks of every type do. */
async function* decoded(pieces: AsyncIterable<Uint8Array>, dtype: DType): AsyncGenerator<Float32Array> {
  let rest = new Float32Array(0);
  for await (const piece of pieces) {
    const next = decodeToF32(piece, dtype);
    const values = new Float32Array(rest.length + next.length);
    values.set(rest);
    values.set(next, rest.length);
    const whole = values.length - (values.length % STEP);
    if (whole > 0) yield values.subarray(0, whole);
    rest = values.slice(whole);
  }
  if (rest.length > 0) yield rest;
}

/** The bytes of a tensor whose rows come from anywhere in it: read whole. */
async function* reordered(
  source: WeightSource,
  { name, dtype, shape, byteLength }: TensorEntry,
  rows: readonly number[],
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const all = new Uint8Array(byteLength);
  let filled = 0;
  for await (const piece of source.read(name, signal)) {
    all.set(piece, filled);
    filled += piece.byteLength;
  }
  const width = bytesOf(
    dtype,
    shape.slice(1).reduce((product, axis) => product * axis, 1),
  );
  const out = new Uint8Array(byteLength);
  rows.forEach((row, i) => {
    out.set(all.subarray(row * width, (row + 1) * width), i * width);
  });
  yield out;
}

/** Encodes f32 values (whole blocks of the type). Throws `TENSOR_RANGE` for one that the type cannot hold. */
export function encoderOf(type: string, tensor: string): (values: Float32Array) => Uint8Array {
  if (type === 'f32') {
    return (values) => {
      const view = new DataView(new ArrayBuffer(4 * values.length));
      for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i]!, true);
      return new Uint8Array(view.buffer);
    };
  }
  if (type === 'f16' || type === 'bf16') {
    const [convert, infinity] = type === 'f16' ? [f32ToF16, 0x7c00] : [f32ToBf16, 0x7f80];
    return (values) => {
      const view = new DataView(new ArrayBuffer(2 * values.length));
      for (let i = 0; i < values.length; i++) {
        const bits = convert(values[i]!);
        if ((bits & 0x7fff) === infinity && Number.isFinite(values[i])) throw outOfRange(values[i]!, tensor, type);
        view.setUint16(2 * i, bits, true);
      }
      return new Uint8Array(view.buffer);
    };
  }
  const quantize = QUANTIZE.get(type)!;
  const { block, bytes } = [...GGML_TYPES.values()].find((each) => each.name === type)!;
  return (values) => {
    for (const value of values) if (!(Math.abs(value) <= 65504)) throw outOfRange(value, tensor, type);
    const out = new Uint8Array((values.length / block) * bytes);
    quantize(values, values.length / block, out);
    // Readers refuse such a block: see `excessiveFactor`.
    const factor = Object.hasOwn(DTYPES, type) ? excessiveFactor(out, type as QuantisedDType) : null;
    if (factor !== null) throw outOfRange(Math.max(...values.map(Math.abs)), tensor, type);
    return out;
  };
}

function finite(value: number, tensor: string, type: string): number {
  if (Number.isFinite(value)) return value;
  throw outOfRange(value, tensor, type);
}

function outOfRange(value: number, tensor: string, type: string): MambaError {
  return new MambaError('TENSOR_RANGE', `tensor ${shownName(tensor)} holds ${value}, which ${type} cannot hold`, {
    tensor,
    found: value,
  });
}

/**
 * The same checkpoint with one tensor in another dtype, encoded as it is read. Rows must be whole blocks of it. Reading throws
 * `TENSOR_RANGE` as a converted file would.
 */
export function recodedSource(source: WeightSource, name: string, dtype: DType): WeightSource {
  const entry = source.entries.get(name)!;
  const elements = entry.shape.reduce((product, axis) => product * axis, 1);
  const entries = new Map(source.entries);
  entries.set(name, { ...entry, dtype, byteLength: bytesOf(dtype, elements) });
  return {
    entries,
    read: (wanted, signal) =>
      wanted === name ? recoded(source, entry, { type: dtype, signal }) : source.read(wanted, signal),
  };
}
