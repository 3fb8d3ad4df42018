import { DTYPES, MambaError, type TensorEntry, type WeightSource } from '@mamba-ts/tensor';
import { DECODED_TO_F16, WEIGHT_DTYPES } from './safetensors/dtypes.ts';
import type { SafetensorsFile } from './safetensors/file.ts';
import { type SafetensorsTensor, shownName } from './safetensors/header.ts';

/** Bytes of the staging buffer, and the most that one piece holds. */
export const STAGING_BYTES: number = 8 << 20;

/** A tensor that is in the checkpoint, but cannot serve as a weight: integers, f64, 8-bit floats. */
export interface OtherEntry {
  readonly name: string;
  /** As the file names it, such as `I64`. */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** In the file. */
  readonly byteLength: number;
}

/** The tensors of a checkpoint with all that its files say. */
export interface CheckpointSource extends WeightSource {
  /** Tensors of other element types. Reading one throws `TENSOR_DTYPE`, which names it. */
  readonly others: ReadonlyMap<string, OtherEntry>;
  /** The texts that the files carry, of all shards together (the first that has a key counts). */
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * The weights of one safetensors file or of several shards, in the order given. A name in two shards throws
 * `INDEX_DUPLICATE`. Tensors that nobody asks for are never read. Reads that run at the same time have a staging buffer
 * each; one after another they share one, of at most 8 MiB.
 */
export function safetensorsWeights(files: readonly SafetensorsFile[]): CheckpointSource {
  const places = new Map<string, { file: SafetensorsFile; tensor: SafetensorsTensor }>();
  const entries = new Map<string, TensorEntry>();
  const others = new Map<string, OtherEntry>();
  const metadata = new Map<string, string>();
  let largest = 0;
  for (const file of files) {
    for (const [key, value] of file.metadata) if (!metadata.has(key)) metadata.set(key, value);
    for (const tensor of file.tensors.values()) {
      const { name, shape } = tensor;
      const before = places.get(name);
      if (before) {
        throw new MambaError(
          'INDEX_DUPLICATE',
          `tensor ${shownName(name)} is in ${before.file.source.name} and in ${file.source.name}; shards must not share names`,
          { tensor: name, files: [before.file.source.name, file.source.name] },
        );
      }
      places.set(name, { file, tensor });
      const byteLength = tensor.end - tensor.begin;
      const dtype = WEIGHT_DTYPES[tensor.dtype];
      if (dtype) {
        entries.set(name, { name, dtype, shape, byteLength });
        largest = Math.max(largest, byteLength);
      } else if (DECODED_TO_F16[tensor.dtype]) {
        const storedAs = tensor.dtype.toLowerCase();
        entries.set(name, { name, dtype: 'f16', shape, byteLength: 2 * byteLength, storedAs });
        largest = Math.max(largest, byteLength);
      } else others.set(name, { name, dtype: tensor.dtype, shape, byteLength });
    }
  }

  let spare: Uint8Array | null = null;
  async function* read(name: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const place = places.get(name);
    if (!place) throw noTensor(name, entries);
    const { file, tensor } = place;
    const dtype = WEIGHT_DTYPES[tensor.dtype];
    const table = DECODED_TO_F16[tensor.dtype];
    const scale = ['_scale', '_scale_inv'].map((suffix) => name + suffix).find((other) => places.has(other));
    if (table && scale !== undefined) {
      throw new MambaError(
        'TENSOR_SCALE',
        `tensor ${shownName(name)} in ${file.source.name} is to be multiplied by ${shownName(scale)}, which is not done. ` +
          'Convert the checkpoint to bf16.',
        { tensor: name, scale },
      );
    }
    if (!dtype && !table) {
      throw new MambaError(
        'TENSOR_DTYPE',
        `tensor ${shownName(name)} in ${file.source.name} has the dtype ${tensor.dtype}; weights are read from ` +
          `${[...Object.keys(WEIGHT_DTYPES), ...Object.keys(DECODED_TO_F16)].join(', ')}. Convert the checkpoint.`,
        { tensor: name, found: tensor.dtype },
      );
    }
    signal?.throwIfAborted();
    const staging = spare ?? new Uint8Array(Math.min(STAGING_BYTES, largest));
    spare = null;
    try {
      // A piece of f16 is twice as long as the codes that it is decoded from.
      const most = table ? Math.ceil(staging.byteLength / 2) : staging.byteLength;
      const step = most - (most % (dtype ? DTYPES[dtype].bytes : 1));
      for (let at = tensor.begin; at < tensor.end; at += step) {
        const length = Math.min(step, tensor.end - at);
        const piece = await file.source.read(file.dataStart + at, length, { into: staging, signal });
        yield table ? decodeTo16Bits(piece, table) : piece;
        signal?.throwIfAborted();
      }
    } finally {
      spare = staging;
    }
  }
  return { entries, others, metadata, read };
}

/** Little-endian. */
function decodeTo16Bits(codes: Uint8Array, table: Uint16Array): Uint8Array {
  const out = new Uint8Array(2 * codes.length);
  for (let i = 0; i < codes.length; i++) {
    const bits = table[codes[i]!]!;
    out[2 * i] = bits & 0xff;
    out[2 * i + 1] = bits >> 8;
  }
  return out;
}

/** For a name that no entry has. */
export function noTensor(name: string, entries: ReadonlyMap<string, TensorEntry>): MambaError {
  const some = [...entries.keys()].slice(0, 5).map(shownName).join(', ');
  const held = `${entries.size} weight${entries.size === 1 ? '' : 's'}${some && `: ${some}`}`;
  return new MambaError(
    'TENSOR_MISSING',
    `the checkpoint has no tensor ${shownName(name)}; it holds ${held}${entries.size > 5 ? ', ...' : ''}`,
    { tensor: name },
  );
}

/**
 * The same tensors under the names that `map` gives them, for checkpoints of another layout. Throws `TENSOR_NAME` where
 * two tensors would get one name.
 */
export function renameSource(
  source: WeightSource & Partial<CheckpointSource>,
  map: (name: string) => string,
): CheckpointSource {
  const original = new Map<string, string>();
  function rename<T extends { readonly name: string }>(from: ReadonlyMap<string, T>): Map<string, T> {
    const to = new Map<string, T>();
    for (const [name, entry] of from) {
      const renamed = map(name);
      const before = original.get(renamed);
      if (before !== undefined) {
        const both = `${shownName(before)} and ${shownName(name)}`;
        throw new MambaError('TENSOR_NAME', `tensors ${both} would both be called ${shownName(renamed)}`, {
          names: [before, name],
          renamed,
        });
      }
      original.set(renamed, name);
      to.set(renamed, { ...entry, name: renamed });
    }
    return to;
  }
  const entries = rename(source.entries);
  return {
    entries,
    others: rename(source.others ?? new Map()),
    metadata: source.metadata ?? new Map(),
    async *read(name, signal) {
      const from = original.get(name);
      if (from === undefined) throw noTensor(name, entries);
      yield* source.read(from, signal);
    },
  };
}
