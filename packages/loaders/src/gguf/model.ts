import type { ByteSource } from '../byte-source.ts';
import type { ModelFolder } from '../folder.ts';
import type { OpenedModel } from '../model.ts';
import { ggufModel } from './architectures.ts';
import { Fields } from './fields.ts';
import { type GgufFile, openGguf, openGgufParts, wholeFile } from './file.ts';
import { ggufWeights } from './weights.ts';

/** Opens a single GGUF file as a model. Throws what `openGguf` and `ggufModel` throw, and `GGUF_SPLIT` for one of several. */
export async function openGgufFile(source: ByteSource, signal?: AbortSignal): Promise<OpenedModel> {
  return modelOf([wholeFile(await openGguf(source, signal))]);
}

/** Opens a GGUF file of a folder as a model, with the other parts where it is split. */
export async function openGgufModel(folder: ModelFolder, name: string, signal?: AbortSignal): Promise<OpenedModel> {
  return modelOf(await openGgufParts(folder, name, signal));
}

function modelOf(files: readonly GgufFile[]): OpenedModel {
  const { source, metadata } = files[0]!;
  const fields = new Fields(metadata, source.name);
  const tensors = new Map(files.flatMap((file) => file.tensors.map((tensor) => [tensor.name, tensor] as const)));
  const { config, place } = ggufModel(fields, tensors, source.name);
  return {
    name: source.name.replace(/\.gguf$/i, ''),
    config,
    ...(metadata.has('tokenizer.ggml.model') ? { tokenizerGguf: metadata } : {}),
    weights: ggufWeights(files, place),
    files: files.map(({ source: { name, size } }) => ({ name, size })),
  };
}
