import { MambaError } from '@mamba-ts/tensor';
import type { ByteSource } from '../byte-source.ts';
import type { ModelFolder } from '../folder.ts';
import type { OpenedModel } from '../model.ts';
import { ggufModel } from './architectures.ts';
import { Fields } from './fields.ts';
import { type GgufFile, openGguf, openGgufParts, wholeFile } from './file.ts';
import type { GgufTensor } from './header.ts';
import { ggufWeights } from './weights.ts';

/** Opens a single GGUF file as a model. Throws what `openGguf` and `ggufModel` throw, and `GGUF_SPLIT` for one of several. */
export async function openGgufFile(source: ByteSource, signal?: AbortSignal): Promise<OpenedModel> {
  return modelOf([wholeFile(await openGguf(source, signal))], signal);
}

/** Opens a GGUF file of a folder as a model, with the other parts where it is split. */
export async function openGgufModel(folder: ModelFolder, name: string, signal?: AbortSignal): Promise<OpenedModel> {
  return modelOf(await openGgufParts(folder, name, signal), signal);
}

async function modelOf(files: readonly GgufFile[], signal?: AbortSignal): Promise<OpenedModel> {
  const { source, metadata } = files[0]!;
  const fields = new Fields(metadata, source.name);
  const tensors = new Map(files.flatMap((file) => file.tensors.map((tensor) => [tensor.name, tensor] as const)));
  const { config, place, ropeFactors } = ggufModel(fields, tensors, source.name);
  return {
    name: source.name.replace(/\.gguf$/i, ''),
    config: ropeFactors ? { ...config, ...(await ropeScaling(files, ropeFactors, config, signal)) } : config,
    ...(metadata.has('tokenizer.ggml.model') ? { tokenizerGguf: metadata } : {}),
    weights: ggufWeights(files, place),
    files: files.map(({ source: { name, size } }) => ({ name, size })),
  };
}

/** Half the columns of the widest head that is accepted. */
const MAX_FACTORS = 2 ** 13;

/**
 * What config.json would say of the tensor of rotary factors (Llama 3 has one): f32, one for each pair of columns that turns.
 * Throws `GGUF_TENSOR`.
 */
async function ropeScaling(
  files: readonly GgufFile[],
  tensor: GgufTensor,
  config: Readonly<Record<string, unknown>>,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  const file = files.find(({ tensors }) => tensors.includes(tensor))!;
  const refuse = (expected: string, found: unknown): never => {
    throw new MambaError(
      'GGUF_TENSOR',
      `${file.source.name}: ${tensor.name} must be ${expected}, found ${found}. Convert the model again.`,
      { file: file.source.name, tensor: tensor.name, expected, found },
    );
  };
  const { shape, type } = tensor;
  if (type.name !== 'f32' || shape.length !== 1 || shape[0]! > MAX_FACTORS) {
    refuse(`f32 [n], n at most ${MAX_FACTORS}`, `${type.name} [${shape.join(', ')}]`);
  }
  if (config.rope_scaling !== undefined) refuse('the only scaling of rotary embedding', 'rope.scaling.type beside it');
  const bytes = await file.source.read(file.dataStart + tensor.begin, tensor.end - tensor.begin, { signal });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const factors = Array.from({ length: shape[0]! }, (_, i) => view.getFloat32(4 * i, true));
  const wrong = factors.find((factor) => !(factor > 0 && Number.isFinite(factor)));
  if (wrong !== undefined) refuse('of positive numbers', wrong);
  const original_max_position_embeddings = config.max_position_embeddings;
  return {
    rope_scaling: {
      rope_type: 'longrope',
      short_factor: factors,
      long_factor: factors,
      attention_factor: 1,
      original_max_position_embeddings,
    },
  };
}
