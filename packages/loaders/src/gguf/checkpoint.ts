import { MambaError } from '@mamba-ts/tensor';
import { type Checkpoint, type ConvertOptions, counterOf, entryOf, recoded } from '../convert.ts';
import { shownName } from '../safetensors/header.ts';
import type { Mapped } from './architecture.ts';
import { ggufLayout } from './architectures.ts';
import { FILE_TYPES, type GgufDType, ggufTypeOf } from './mixture.ts';
import type { RowOrder } from './weights.ts';
import { type GgufField, type GgufTensorToWrite, string, u32 } from './write.ts';

/** A model to be written. */
export interface GgufCheckpoint extends Checkpoint {
  /** Its `general.name`. */
  readonly name: string;
  /** config.json of the Hugging Face layout with every field that matters in it. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly dtype: GgufDType;
  /** `tokenizer.*`, by whole keys. */
  readonly tokenizer?: ReadonlyMap<string, GgufField> | undefined;
}

/** What `writeGguf` takes. */
export interface GgufContent {
  readonly metadata: ReadonlyMap<string, GgufField>;
  readonly tensors: readonly GgufTensorToWrite[];
}

/**
 * A checkpoint as a GGUF file, for `writeGguf`: metadata, tokenizer and tensors as llama.cpp's convert_hf_to_gguf.py and
 * llama-quantize write them. Weights are read when the stream reaches them: one tensor is in memory at a time, and of most
 * only a piece.
 *
 * Throws `GGUF_ARCHITECTURE`, `GGUF_CONFIG`, `GGUF_TENSOR` (a parameter that the format has no place for, such as a bias),
 * `MISSING_TENSOR`, `TENSOR_SHAPE`; the streams of the tensors throw `TENSOR_RANGE` and what reading throws.
 */
export function ggufContent(checkpoint: GgufCheckpoint, options: ConvertOptions = {}): GgufContent {
  const { name, config, parameters, weights, dtype, tokenizer } = checkpoint;
  const layout = ggufLayout(config);
  const mixture = { dtype, layers: config.num_hidden_layers as number, tied: config.tie_word_embeddings as boolean };
  const onElements = counterOf(parameters, options);
  const tensors = parameters.map((parameter): GgufTensorToWrite => {
    const entry = entryOf(weights, parameter);
    const place = layout.locate(parameter.name);
    if (!place) throw noPlace(parameter.name, layout.architecture);
    const shape = place.axes && parameter.shape.length === 1 ? place.axes(parameter.shape[0]!) : parameter.shape;
    const type = ggufTypeOf(place.name, shape, mixture);
    const data = recoded(weights, entry, {
      type,
      computed: place.asUsed && !entry.asUsed ? 'A of A_log' : 'as it is',
      rows: rowsOf(place, shape[0]!),
      signal: options.signal,
      onElements,
    });
    return { name: place.name, type, shape, data };
  });
  if (layout.ropeFactors) {
    const { name, values } = layout.ropeFactors;
    const data = littleEndian(values);
    tensors.push({ name, type: 'f32', shape: [values.length], data });
  }
  const metadata = new Map<string, GgufField>([
    ['general.architecture', string(layout.architecture)],
    ['general.name', string(name)],
    ['general.file_type', u32(FILE_TYPES[dtype])],
    ...(dtype.startsWith('q') ? ([['general.quantization_version', u32(2)]] as const) : []),
    ...layout.metadata,
    ...(tokenizer ?? []),
  ]);
  return { metadata, tensors };
}

function littleEndian(values: Float32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * values.length));
  values.forEach((value, i) => {
    view.setFloat32(4 * i, value, true);
  });
  return new Uint8Array(view.buffer);
}

/** For each row of the file, the row of the parameter. */
function rowsOf({ order }: Mapped, count: number): number[] | undefined {
  if (!order) return undefined;
  const { rows, first, within = (row) => row }: RowOrder = order;
  const out = new Array<number>(count);
  for (let row = 0; row < count; row++) out[first(Math.floor(row / rows)) + within(row % rows)] = row;
  return out;
}

function noPlace(tensor: string, architecture: string): MambaError {
  return new MambaError(
    'GGUF_TENSOR',
    `the model has the tensor ${shownName(tensor)}, for which the architecture ${architecture} has no place in a GGUF file. ` +
      'Write safetensors.',
    { tensor },
  );
}
