import { bytesOf, type DType, decodeToF32, isQuantised, MambaError, type TensorEntry } from '@mamba-ts/tensor';
import { encoderOf } from '../convert.ts';
import { Sha256 } from '../hub/sha256.ts';
import { shownName } from '../safetensors/header.ts';
import type { CheckpointSource } from '../weights.ts';
import type { Adapter, LowRankUpdate } from './file.ts';

/** Values that tell one matrix from another: its first ones, at most so many. */
const SAMPLE = 1024;

/** 16 hexadecimal digits of a matrix's first values: the same in any type that holds them exactly. */
export function weightSample(values: Float32Array): string {
  const hash = new Sha256();
  hash.update(encoderOf('f32', '')(values.subarray(0, SAMPLE)));
  return hash.hex().slice(0, 16);
}

/** Adds scale B A to `values`, which are elements `start`, `start + 1`, … of the matrix, row-major. */
export function addLowRank(values: Float32Array, start: number, update: LowRankUpdate): void {
  const { inputs, rank, a, b, scale } = update;
  for (let i = 0; i < values.length; i++) {
    const row = Math.floor((start + i) / inputs);
    const column = start + i - row * inputs;
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[row * rank + k]! * a[k * inputs + column]!;
    values[i]! += scale * sum;
  }
}

/**
 * The same checkpoint with an adapter in its weights, added as they are read: in f32, then rounded to the type of the weight (f16 for
 * a quantised one). `nameOf` makes of a name in the file the name that the adapter knows. Throws `ADAPTER_BASE` at once where
 * the checkpoint lacks a weight of the adapter or has it in another shape, and while reading where its values are not
 * those that the adapter was trained on.
 */
export function mergedSource(
  source: CheckpointSource,
  adapter: Adapter,
  nameOf: (name: string) => string = (name) => name,
): CheckpointSource {
  const entries = new Map(source.entries);
  const updates = new Map<string, LowRankUpdate>();
  for (const entry of source.entries.values()) {
    const update = adapter.updates.get(nameOf(entry.name));
    if (!update) continue;
    const { outputs, inputs } = update;
    if (entry.shape.length !== 2 || entry.shape[0] !== outputs || entry.shape[1] !== inputs) {
      throw foreign(adapter, entry.name, `it has the shape [${entry.shape}], the adapter's is [${outputs}, ${inputs}]`);
    }
    updates.set(entry.name, update);
    const dtype = mergedType(entry.dtype);
    entries.set(entry.name, { ...entry, dtype, byteLength: bytesOf(dtype, outputs * inputs) });
  }
  if (updates.size < adapter.updates.size) {
    const present = new Set([...updates.keys()].map(nameOf));
    const missing = [...adapter.updates.keys()].find((name) => !present.has(name))!;
    throw foreign(adapter, missing, 'the model has none of this name');
  }
  return {
    ...source,
    entries,
    read(name, signal) {
      const update = updates.get(name);
      return update ? merged(source, source.entries.get(name)!, adapter, update, signal) : source.read(name, signal);
    },
  };
}

const mergedType = (dtype: DType): DType => (isQuantised(dtype) ? 'f16' : dtype);

async function* merged(
  source: CheckpointSource,
  { name, dtype }: TensorEntry,
  adapter: Adapter,
  update: LowRankUpdate,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const encode = encoderOf(mergedType(dtype), name);
  const sample = new Float32Array(Math.min(SAMPLE, update.inputs * update.outputs));
  let start = 0;
  for await (const piece of source.read(name, signal)) {
    const values = decodeToF32(piece, dtype);
    if (start < sample.length) {
      sample.set(values.subarray(0, sample.length - start), start);
      const whole = start + values.length >= sample.length;
      if (whole && update.base !== null && weightSample(sample) !== update.base) {
        throw foreign(
          adapter,
          name,
          'it has other values than the one that the adapter was trained on. Merge it into that model, then quantise',
        );
      }
    }
    addLowRank(values, start, update);
    start += values.length;
    yield encode(values);
  }
}

function foreign({ name }: Adapter, tensor: string, why: string): MambaError {
  return new MambaError(
    'ADAPTER_BASE',
    `the adapter ${name} belongs to another model: of ${shownName(tensor)}, ${why}`,
    { adapter: name, tensor },
  );
}
