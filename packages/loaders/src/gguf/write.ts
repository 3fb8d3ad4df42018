import { MambaError } from '@mamba-ts/tensor';
import { shownName } from '../safetensors/header.ts';
import { GGML_TYPES, GGUF_LIMITS } from './types.ts';

type Scalar = number | bigint | boolean | string;

/** Types of metadata, by name: the number in the file, bytes (of a text none), and what sets a value. */
type ValueType = 'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'bool' | 'string' | 'u64' | 'i64' | 'f64';
const VALUES: Readonly<Record<ValueType, readonly [number, number, (view: DataView, value: Scalar) => void]>> = {
  u8: [0, 1, (view, value) => view.setUint8(0, Number(value))],
  i8: [1, 1, (view, value) => view.setInt8(0, Number(value))],
  u16: [2, 2, (view, value) => view.setUint16(0, Number(value), true)],
  i16: [3, 2, (view, value) => view.setInt16(0, Number(value), true)],
  u32: [4, 4, (view, value) => view.setUint32(0, Number(value), true)],
  i32: [5, 4, (view, value) => view.setInt32(0, Number(value), true)],
  f32: [6, 4, (view, value) => view.setFloat32(0, Number(value), true)],
  bool: [7, 1, (view, value) => view.setUint8(0, Number(value))],
  string: [8, 0, () => {}],
  u64: [10, 8, (view, value) => view.setBigUint64(0, BigInt(value), true)],
  i64: [11, 8, (view, value) => view.setBigInt64(0, BigInt(value), true)],
  f64: [12, 8, (view, value) => view.setFloat64(0, Number(value), true)],
};

/** A value of the metadata with its type; of an array, that of its elements. */
export type GgufField = readonly [type: ValueType, value: Scalar | readonly Scalar[]];

export const u32 = (value: number): GgufField => ['u32', value];
export const f32 = (value: number): GgufField => ['f32', value];
export const bool = (value: boolean): GgufField => ['bool', value];
export const string = (value: string): GgufField => ['string', value];

/** A tensor to be written. */
export interface GgufTensorToWrite {
  readonly name: string;
  /** As llama.cpp names it, in lower case: `q4_k`. */
  readonly type: string;
  /** Row-major, the contiguous axis last. */
  readonly shape: readonly number[];
  /** Little-endian, exactly the shape's bytes; as pieces where it does not fit in memory at once. */
  readonly data: Uint8Array | AsyncIterable<Uint8Array>;
}

const ARRAY = 9;
const encoder = new TextEncoder();
const roundUp = (bytes: number, alignment: number): number => Math.ceil(bytes / alignment) * alignment;

interface Planned {
  readonly tensor: GgufTensorToWrite;
  readonly id: number;
  readonly bytes: number;
}

/**
 * A GGUF file, version 3, as a stream of pieces: the header, then the tensors in the order given, each padded to
 * `general.alignment` (32 unless the metadata says otherwise).
 *
 * Checked at once: `GGUF_VALUE` (a text that is no valid Unicode, an alignment that is no power of two), `TENSOR_NAME`
 * (too long, or twice), `TENSOR_DTYPE`, `TENSOR_SHAPE` (also rows that do not divide into blocks), `GGUF_LIMIT`. Data of
 * another size than the shape's throws `TENSOR_SIZE` when the stream reaches it.
 */
export function writeGguf(
  metadata: ReadonlyMap<string, GgufField>,
  tensors: Iterable<GgufTensorToWrite>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const alignment = alignmentOf(metadata);
  const planned = Array.from(tensors, plan);
  const names = new Set<string>();
  for (const { tensor, bytes } of planned) {
    if (names.has(tensor.name)) refuse('TENSOR_NAME', `two tensors are called ${shownName(tensor.name)}`, tensor.name);
    names.add(tensor.name);
    if (tensor.data instanceof Uint8Array && tensor.data.byteLength !== bytes) {
      wrongSize(tensor, bytes, tensor.data.byteLength);
    }
  }
  return stream(encodeHeader(metadata, planned, alignment), planned, alignment);
}

function alignmentOf(metadata: ReadonlyMap<string, GgufField>): number {
  const [type, value] = metadata.get('general.alignment') ?? ['u32', 32];
  if (type === 'u32' && typeof value === 'number' && Number.isInteger(Math.log2(value))) return value;
  throw new MambaError('GGUF_VALUE', 'general.alignment must be a power of two (u32)', { found: value });
}

function refuse(code: string, message: string, tensor: string): never {
  throw new MambaError(code, message, { tensor });
}

function plan(tensor: GgufTensorToWrite): Planned {
  const { name, shape } = tensor;
  const shown = shownName(name);
  if (!name.isWellFormed() || encoder.encode(name).length > GGUF_LIMITS.name) {
    refuse('TENSOR_NAME', `a tensor cannot be called ${shown}: names have at most ${GGUF_LIMITS.name} bytes`, name);
  }
  const found = [...GGML_TYPES].find(([, type]) => type.name === tensor.type);
  if (!found) return refuse('TENSOR_DTYPE', `tensor ${shown} has the unknown type ${tensor.type}`, name);
  const [id, { block, bytes }] = found;
  const elements = shape.reduce((product, axis) => product * axis, 1);
  const possible =
    shape.every((axis) => Number.isSafeInteger(axis) && axis > 0) && elements * 8 <= Number.MAX_SAFE_INTEGER;
  if (!possible || shape.length < 1 || shape.length > GGUF_LIMITS.rank) {
    refuse(
      'TENSOR_SHAPE',
      `tensor ${shown} has the shape [${shape}]; 1 to ${GGUF_LIMITS.rank} axes can be written`,
      name,
    );
  }
  if (shape.at(-1)! % block !== 0) {
    const message = `the rows of tensor ${shown} have ${shape.at(-1)} elements, which blocks of ${block} (${tensor.type}) do not divide`;
    refuse('TENSOR_SHAPE', message, name);
  }
  return { tensor, id, bytes: (elements / block) * bytes };
}

/** Collects bytes of unknown number. */
class Bytes {
  #bytes = new Uint8Array(1 << 16);
  readonly #scratch = new DataView(new ArrayBuffer(8));
  length = 0;

  raw(bytes: Uint8Array): void {
    if (this.length + bytes.length > this.#bytes.length) {
      const wider = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + bytes.length));
      wider.set(this.#bytes.subarray(0, this.length));
      this.#bytes = wider;
    }
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  scalar(type: GgufField[0], value: Scalar): void {
    if (type === 'string') this.text(String(value));
    else {
      const [, bytes, set] = VALUES[type];
      set(this.#scratch, value);
      this.raw(new Uint8Array(this.#scratch.buffer, 0, bytes));
    }
  }

  text(text: string): void {
    if (!text.isWellFormed()) {
      throw new MambaError('GGUF_VALUE', `${shownName(text)} is no valid Unicode`, { found: text.slice(0, 60) });
    }
    const bytes = encoder.encode(text);
    this.scalar('u64', bytes.length);
    this.raw(bytes);
  }

  done(length: number): Uint8Array {
    this.raw(new Uint8Array(length - this.length));
    return this.#bytes.subarray(0, length);
  }
}

function encodeHeader(
  metadata: ReadonlyMap<string, GgufField>,
  planned: readonly Planned[],
  alignment: number,
): Uint8Array {
  const out = new Bytes();
  out.raw(encoder.encode('GGUF'));
  out.scalar('u32', 3);
  out.scalar('u64', planned.length);
  out.scalar('u64', metadata.size);
  let elements = 0;
  for (const [key, [type, value]] of metadata) {
    out.text(key);
    if (Array.isArray(value)) {
      elements += value.length;
      out.scalar('u32', ARRAY);
      out.scalar('u32', VALUES[type][0]);
      out.scalar('u64', value.length);
      for (const each of value) out.scalar(type, each);
    } else {
      out.scalar('u32', VALUES[type][0]);
      out.scalar(type, value as Scalar);
    }
  }
  let offset = 0;
  for (const { tensor, id, bytes } of planned) {
    out.text(tensor.name);
    out.scalar('u32', tensor.shape.length);
    for (const axis of tensor.shape.toReversed()) out.scalar('u64', axis);
    out.scalar('u32', id);
    out.scalar('u64', offset);
    offset = roundUp(offset + bytes, alignment);
  }
  const length = roundUp(out.length, alignment);
  const { header, tensors, keys } = GGUF_LIMITS;
  if (length > header || planned.length > tensors || metadata.size > keys || elements > GGUF_LIMITS.elements) {
    throw new MambaError(
      'GGUF_LIMIT',
      `a header of ${length} bytes with ${metadata.size} keys, ${elements} elements in arrays and ${planned.length} tensors ` +
        'is more than readers take',
      { limits: GGUF_LIMITS },
    );
  }
  return out.done(length);
}

function wrongSize(tensor: GgufTensorToWrite, expected: number, found: number): never {
  throw new MambaError(
    'TENSOR_SIZE',
    `tensor ${shownName(tensor.name)}: shape [${tensor.shape}] of ${tensor.type} takes ${expected} bytes, but its data has ${found}`,
    { tensor: tensor.name, expected, found },
  );
}

async function* stream(
  header: Uint8Array,
  planned: readonly Planned[],
  alignment: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield header;
  for (const { tensor, bytes } of planned) {
    if (tensor.data instanceof Uint8Array) yield tensor.data;
    else {
      let done = 0;
      for await (const piece of tensor.data) {
        done += piece.byteLength;
        if (done > bytes) wrongSize(tensor, bytes, done);
        yield piece;
      }
      if (done !== bytes) wrongSize(tensor, bytes, done);
    }
    const padding = roundUp(bytes, alignment) - bytes;
    if (padding > 0) yield new Uint8Array(padding);
  }
}
