import { MambaError } from '@mamba-ts/tensor';
import { LIMITS, SAFETENSORS_BITS, type SafetensorsDType } from './dtypes.ts';
import { shownName } from './header.ts';

/** A tensor to be written. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: 'f32' | 'f16' | 'bf16' | 'i32' | 'i64';
  /** Row-major; `[]` is one element. */
  readonly shape: readonly number[];
  /** Little-endian, row-major, exactly the shape's bytes; as pieces where it does not fit in memory at once. */
  readonly data: Uint8Array | AsyncIterable<Uint8Array>;
}

const ORDER = Object.keys(SAFETENSORS_BITS);
const encoder = new TextEncoder();

/** By code points, as Rust orders strings; UTF-16 order differs above U+FFFF. */
function compareNames(a: string, b: string): number {
  const x = encoder.encode(a);
  const y = encoder.encode(b);
  const length = Math.min(x.length, y.length);
  for (let i = 0; i < length; i++) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return x.length - y.length;
}

function refuse(code: string, message: string, tensor: string): never {
  throw new MambaError(code, message, { tensor });
}

interface Planned {
  readonly tensor: TensorToWrite;
  readonly dtype: SafetensorsDType;
  readonly bytes: number;
}

function plan(tensor: TensorToWrite): Planned {
  const { name, shape } = tensor;
  const shown = shownName(name);
  if (name === '__metadata__' || !name.isWellFormed()) {
    refuse(
      'TENSOR_NAME',
      `a tensor cannot be called ${shown}: the format keeps that name, or it is not valid Unicode`,
      name,
    );
  }
  const dtype = tensor.dtype.toUpperCase() as SafetensorsDType;
  if (!['F32', 'F16', 'BF16', 'I32', 'I64'].includes(dtype)) {
    refuse(
      'TENSOR_DTYPE',
      `tensor ${shown} has the dtype ${tensor.dtype}; f32, f16, bf16, i32 and i64 can be written`,
      name,
    );
  }
  let elements = 1;
  for (const axis of shape) {
    elements *= axis;
    if (!Number.isSafeInteger(axis) || axis < 0 || elements * 8 > Number.MAX_SAFE_INTEGER) {
      refuse('TENSOR_SHAPE', `tensor ${shown} has the impossible shape [${shape}]`, name);
    }
  }
  if (shape.length > LIMITS.rank) {
    refuse('TENSOR_SHAPE', `tensor ${shown} has ${shape.length} axes; at most ${LIMITS.rank} can be written`, name);
  }
  return { tensor, dtype, bytes: (elements * SAFETENSORS_BITS[dtype]) / 8 };
}

function encodeHeader(planned: readonly Planned[], metadata: Readonly<Record<string, string>> | undefined): Uint8Array {
  // Put together as text: an object would move names that look like numbers to the front.
  const members: string[] = [];
  if (metadata) {
    const texts = Object.keys(metadata).sort(compareNames);
    for (const key of texts) {
      if (typeof metadata[key] !== 'string' || !key.isWellFormed() || !metadata[key].isWellFormed()) {
        throw new MambaError('METADATA', `the metadata ${shownName(key)} must be a text of valid Unicode`, { key });
      }
    }
    members.push(
      `"__metadata__":{${texts.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`).join()}}`,
    );
  }
  let offset = 0;
  for (const { tensor, dtype, bytes } of planned) {
    members.push(
      `${JSON.stringify(tensor.name)}:{"dtype":"${dtype}","shape":[${tensor.shape}],"data_offsets":[${offset},${offset + bytes}]}`,
    );
    offset += bytes;
  }
  const json = encoder.encode(`{${members.join()}}`);
  const padded = Math.ceil(json.byteLength / 8) * 8;
  const fits = padded <= LIMITS.header && planned.length <= LIMITS.tensors;
  if (!fits || !Number.isSafeInteger(offset)) {
    throw new MambaError(
      'SAFETENSORS_LIMIT',
      `${planned.length} tensors with a header of ${padded} bytes do not fit into one file (at most ${LIMITS.tensors} and ` +
        `${LIMITS.header}); write several`,
      { tensors: planned.length, header: padded },
    );
  }
  const header = new Uint8Array(8 + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, 8);
  return header;
}

/**
 * A safetensors file as a stream of pieces: first the header, then the tensors in the reference writer's order (larger
 * elements first, then by name), so that the same tensors always give the same bytes, those that Python writes. With
 * several metadata keys Python's own order varies; here they are sorted.
 *
 * Names, dtypes and shapes are checked at once: `TENSOR_NAME`, `TENSOR_DTYPE`, `TENSOR_SHAPE`, `METADATA`,
 * `SAFETENSORS_LIMIT`. Data of another size than the shape's throws `TENSOR_SIZE` when the stream reaches it.
 */
export function writeSafetensors(
  tensors: Iterable<TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const planned = Array.from(tensors, plan);
  planned.sort((a, b) => ORDER.indexOf(b.dtype) - ORDER.indexOf(a.dtype) || compareNames(a.tensor.name, b.tensor.name));
  const names = new Set<string>();
  for (const { tensor, bytes } of planned) {
    if (names.has(tensor.name)) refuse('TENSOR_NAME', `two tensors are called ${shownName(tensor.name)}`, tensor.name);
    names.add(tensor.name);
    if (tensor.data instanceof Uint8Array && tensor.data.byteLength !== bytes)
      wrongSize(tensor, bytes, tensor.data.byteLength);
  }
  return stream(encodeHeader(planned, metadata), planned);
}

function wrongSize(tensor: TensorToWrite, expected: number, found: number): never {
  throw new MambaError(
    'TENSOR_SIZE',
    `tensor ${shownName(tensor.name)}: shape [${tensor.shape}] of ${tensor.dtype} takes ${expected} bytes, but its data has ${found}`,
    { tensor: tensor.name, expected, found },
  );
}

async function* stream(header: Uint8Array, planned: readonly Planned[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield header;
  for (const { tensor, bytes } of planned) {
    if (tensor.data instanceof Uint8Array) {
      if (bytes > 0) yield tensor.data;
      continue;
    }
    let done = 0;
    for await (const piece of tensor.data) {
      done += piece.byteLength;
      if (done > bytes) wrongSize(tensor, bytes, done);
      yield piece;
    }
    if (done !== bytes) wrongSize(tensor, bytes, done);
  }
}
