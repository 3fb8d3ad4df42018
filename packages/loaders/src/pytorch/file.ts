import { crc32, DTYPES, type DType, MambaError, type TensorEntry } from '@mamba-ts/tensor';
import type { ByteSource } from '../byte-source.ts';
import { shownName } from '../safetensors/header.ts';
import { type CheckpointSource, noTensor, type OtherEntry, STAGING_BYTES } from '../weights.ts';
import { isTensor, type Pickled, type StorageRef, type TensorRef, unpickle } from './unpickle.ts';
import { openZip, type ZipEntry } from './zip.ts';

/** The element types of storages: bytes, and the dtype of weights where they can be such. */
const STORAGES: Readonly<Record<string, { readonly bytes: number; readonly dtype?: DType }>> = {
  FloatStorage: { bytes: 4, dtype: 'f32' },
  HalfStorage: { bytes: 2, dtype: 'f16' },
  BFloat16Storage: { bytes: 2, dtype: 'bf16' },
  DoubleStorage: { bytes: 8 },
  LongStorage: { bytes: 8 },
  IntStorage: { bytes: 4 },
  ShortStorage: { bytes: 2 },
  CharStorage: { bytes: 1 },
  ByteStorage: { bytes: 1 },
  BoolStorage: { bytes: 1 },
};

const PICKLE_BYTES = 64 << 20;
/** Bytes of a view that is not contiguous: it is read whole and put in order. */
const STRIDED_BYTES = 1 << 30;

/** One tensor as a checked view of a storage. */
export interface PytorchTensor {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  /** Elements from the start of the storage. */
  readonly offset: number;
  readonly storage: ZipEntry;
}

/** A PyTorch checkpoint whose pickle has been read and checked; no storage has been read. */
export interface PytorchFile {
  readonly source: ByteSource;
  readonly tensors: ReadonlyMap<string, PytorchTensor>;
}

/**
 * Reads the index of a checkpoint that `torch.save` wrote (PyTorch 1.6 or later: a zip archive with a pickle and a file per
 * storage). The pickle is read as inert data: see `unpickle`. The tensors are those of the dictionary itself, or of its
 * `state_dict` or `model`.
 *
 * Throws `PYTORCH_FORMAT` (older files, TorchScript, big-endian, no dictionary of tensors), `PYTORCH_TRUNCATED`, `_ZIP`, `_CRC`,
 * `_PICKLE`, `_GLOBAL`, `_LIMIT`, and `PYTORCH_TENSOR` (a view past its storage, a storage of another size).
 */
export async function openPytorch(source: ByteSource, signal?: AbortSignal): Promise<PytorchFile> {
  const refuse = (code: string, what: string): never => {
    throw new MambaError(code, `${source.name}: ${what}`, { file: source.name });
  };
  const start = await source.read(0, Math.min(4, source.size), { signal });
  if (start[0] !== 0x50 || start[1] !== 0x4b || start[2] !== 3 || start[3] !== 4) {
    refuse(
      'PYTORCH_FORMAT',
      'it is not a zip archive. Files of PyTorch before 1.6 are a bare pickle: load it there and save it again.',
    );
  }
  const entries = await openZip(source, signal);
  // PyTorch takes the folder of the first file for that of all: it must be.
  const root = /^[^/]+\//.exec(entries.keys().next().value ?? '')?.[0] ?? '';
  const pickle = entries.get(`${root}data.pkl`);
  const scripted = [...entries.keys()].some((name) => /^[^/]+\/(?:constants\.pkl|code\/)/.test(name));
  if (scripted) refuse('PYTORCH_FORMAT', 'it is TorchScript, a program; save its state_dict()');
  if (!pickle || root === '' || [...entries.keys()].some((name) => !name.startsWith(root))) {
    return refuse('PYTORCH_FORMAT', 'its files are not in one folder with a data.pkl');
  }
  const small = async (entry: ZipEntry): Promise<string> =>
    new TextDecoder().decode(await readEntry(source, entry, 16, signal));
  const version = entries.get(`${root}.data/version`) ?? entries.get(`${root}version`);
  if (!version || !/^(?:[1-9]|10)\n?$/.test(await small(version))) {
    refuse('PYTORCH_FORMAT', 'it has no version from 1 to 10');
  }
  const order = entries.get(`${root}byteorder`);
  if (order && (await small(order)) !== 'little') refuse('PYTORCH_FORMAT', 'it is big-endian');
  const {
    value,
    storages,
    tensors: made,
  } = unpickle(await readEntry(source, pickle, PICKLE_BYTES, signal), source.name);
  const places = new Map<string, ZipEntry>();
  for (const storage of storages.values()) {
    places.set(storage.key, checkStorage(storage, entries.get(`${root}data/${storage.key}`), source.name));
  }
  for (const tensor of made) checkView('without a name', tensor, source.name);
  const tensors = new Map<string, PytorchTensor>();
  for (const [name, tensor] of tensorsOf(value) ?? refuse('PYTORCH_FORMAT', 'it holds no dictionary of tensors')) {
    const elements = checkView(shownName(name), tensor, source.name);
    if (elements > tensor.storage.numel) {
      const what = `repeats its elements: ${elements} of a storage of ${tensor.storage.numel}`;
      throw new MambaError('PYTORCH_TENSOR', `${source.name}: tensor ${shownName(name)} ${what}`, {
        file: source.name,
        tensor: name,
      });
    }
    const { shape, stride, offset, storage } = tensor;
    tensors.set(name, { name, type: storage.type, shape, stride, offset, storage: places.get(storage.key)! });
  }
  return { source, tensors };
}

async function readEntry(
  source: ByteSource,
  entry: ZipEntry,
  limit: number,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { begin, end, name, crc } = entry;
  if (end - begin > limit) {
    throw new MambaError(
      'PYTORCH_LIMIT',
      `${source.name}: ${shownName(name)} in it has ${end - begin} bytes; at most ${limit} are read`,
      { file: source.name, name, limit },
    );
  }
  const bytes = await source.read(begin, end - begin, { signal });
  if (crc32(bytes) !== crc) throw damaged(source.name, name);
  return bytes;
}

const damaged = (file: string, name: string): MambaError =>
  new MambaError('PYTORCH_CRC', `${file}: ${name} in it is damaged (its CRC-32 differs). Download it again.`, {
    file,
    name,
  });

/** The named tensors of a dictionary, or of one in it that is called state_dict or model; null where there are none. */
function tensorsOf(value: Pickled): [string, TensorRef][] | null {
  if (!(value instanceof Map)) return null;
  for (const map of [value, value.get('state_dict'), value.get('model')]) {
    if (!(map instanceof Map)) continue;
    const found = [...map].filter(
      (pair): pair is [string, TensorRef] => typeof pair[0] === 'string' && isTensor(pair[1]),
    );
    if (found.length > 0) return found;
  }
  return null;
}

const natural = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

function checkStorage({ type, key, numel }: StorageRef, place: ZipEntry | undefined, file: string): ZipEntry {
  const refuse = (what: string): never => {
    throw new MambaError('PYTORCH_TENSOR', `${file}: the storage ${shownName(key)} ${what}`, { file, storage: key });
  };
  if (!place) return refuse('is missing in the archive');
  const { bytes } = STORAGES[type]!;
  const found = place.end - place.begin;
  if (!natural(numel) || numel * bytes !== found) {
    refuse(`should have ${numel} elements of ${bytes} bytes, but has ${found} bytes`);
  }
  return place;
}

/** The number of its elements; throws where it reaches past its storage. `shown` names it in messages. */
function checkView(shown: string, { shape, stride, offset, storage }: TensorRef, file: string): number {
  const refuse = (what: string): never => {
    throw new MambaError('PYTORCH_TENSOR', `${file}: tensor ${shown} ${what}`, { file, tensor: shown });
  };
  if (shape.length !== stride.length || ![offset, ...shape, ...stride].every(natural)) {
    refuse(`has the impossible shape [${shape}] and strides [${stride}]`);
  }
  // Without the axes of length 0, which would heal any overflow.
  if (!natural(shape.reduce((product, axis) => product * (axis || 1), 1)))
    refuse(`has the impossible shape [${shape}]`);
  const elements = shape.reduce((product, axis) => product * axis, 1);
  const last = shape.reduce((sum, axis, i) => sum + (axis - 1) * stride[i]!, offset);
  if (elements > 0 && !(last < storage.numel)) refuse(`reaches to element ${last} of a storage of ${storage.numel}`);
  return elements;
}

/** Whether the elements of a view lie one after another. Axes of length 1 may have any stride. */
function isContiguous({ shape, stride }: PytorchTensor): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && stride[i] !== expected) return false;
    expected *= shape[i]!;
  }
  return true;
}

/** The tensors of one PyTorch checkpoint or of several shards as weights; as `safetensorsWeights`. */
export function pytorchWeights(files: readonly PytorchFile[]): CheckpointSource {
  const places = new Map<string, { source: ByteSource; tensor: PytorchTensor; dtype: DType }>();
  const entries = new Map<string, TensorEntry>();
  const others = new Map<string, OtherEntry>();
  const sorted = files.flatMap(({ source, tensors }) =>
    [...tensors.values()]
      .sort((a, b) => a.storage.begin - b.storage.begin || a.offset - b.offset)
      .map((tensor) => ({ source, tensor })),
  );
  for (const { source, tensor } of sorted) {
    const { name, shape, type } = tensor;
    if (entries.has(name) || others.has(name)) {
      throw new MambaError(
        'INDEX_DUPLICATE',
        `tensor ${shownName(name)} is in two files; shards must not share names`,
        {
          tensor: name,
          file: source.name,
        },
      );
    }
    const { bytes, dtype } = STORAGES[type]!;
    const byteLength = bytes * shape.reduce((product, axis) => product * axis, 1);
    if (dtype) {
      entries.set(name, { name, dtype, shape, byteLength });
      places.set(name, { source, tensor, dtype });
    } else others.set(name, { name, dtype: type, shape, byteLength });
  }
  return {
    entries,
    others,
    metadata: new Map(),
    async *read(name, signal) {
      const place = places.get(name);
      if (!place) {
        const other = others.get(name);
        if (!other) throw noTensor(name, entries);
        throw new MambaError(
          'TENSOR_DTYPE',
          `tensor ${shownName(name)} is a ${other.dtype}; weights are f32, f16 or bf16`,
          {
            tensor: name,
            found: other.dtype,
          },
        );
      }
      const { source, tensor, dtype } = place;
      yield* isContiguous(tensor)
        ? readContiguous(source, tensor, DTYPES[dtype].bytes, signal)
        : readStrided(source, tensor, DTYPES[dtype].bytes, signal);
    },
  };
}

/** A storage that is read from end to end is checked against its CRC-32. */
async function* readContiguous(
  source: ByteSource,
  { shape, offset, storage }: PytorchTensor,
  bytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const begin = storage.begin + bytes * offset;
  const end = begin + bytes * shape.reduce((product, axis) => product * axis, 1);
  const staging = new Uint8Array(Math.min(STAGING_BYTES, end - begin));
  const whole = begin === storage.begin && end === storage.end;
  let crc = 0;
  for (let at = begin; at < end; at += STAGING_BYTES) {
    const piece = await source.read(at, Math.min(STAGING_BYTES, end - at), { into: staging, signal });
    if (whole) crc = crc32(piece, crc);
    if (whole && at + piece.length === end && crc !== storage.crc) throw damaged(source.name, storage.name);
    yield piece;
    signal?.throwIfAborted();
  }
}

/** The part of the storage that the view spans is read whole, and its elements put in order. */
async function* readStrided(
  source: ByteSource,
  { name, shape, stride, offset, storage }: PytorchTensor,
  bytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const elements = shape.reduce((product, axis) => product * axis, 1);
  if (elements === 0) return;
  const span = bytes * shape.reduce((sum, axis, i) => sum + (axis - 1) * stride[i]!, 1);
  if (span > STRIDED_BYTES) {
    throw new MambaError(
      'PYTORCH_LIMIT',
      `tensor ${shownName(name)} is a strided view of ${span} bytes; at most ${STRIDED_BYTES} are put in order. Save it contiguous.`,
      { tensor: name, found: span, limit: STRIDED_BYTES },
    );
  }
  const from = await source.read(storage.begin + bytes * offset, span, { signal });
  const index = shape.map(() => 0);
  const step = Math.floor(STAGING_BYTES / bytes);
  for (let done = 0; done < elements; ) {
    const count = Math.min(step, elements - done);
    const out = new Uint8Array(count * bytes);
    for (let i = 0; i < count; i++) {
      let at = 0;
      for (let axis = 0; axis < shape.length; axis++) at += index[axis]! * stride[axis]!;
      for (let b = 0; b < bytes; b++) out[i * bytes + b] = from[at * bytes + b]!;
      for (let axis = shape.length - 1; axis >= 0 && ++index[axis]! === shape[axis]; axis--) index[axis] = 0;
    }
    done += count;
    yield out;
    signal?.throwIfAborted();
  }
}
