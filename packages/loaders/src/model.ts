import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { ADAPTER_CONFIG } from './adapter/file.ts';
import { type ByteSource, readWhole } from './byte-source.ts';
import { describeFiles, type ModelFolder } from './folder.ts';
import { splitName } from './gguf/file.ts';
import type { GgufValue } from './gguf/header.ts';
import { openGgufFile, openGgufModel } from './gguf/model.ts';
import { readJsonObject } from './json-file.ts';
import { openPytorch, pytorchWeights } from './pytorch/file.ts';
import { openSafetensors } from './safetensors/file.ts';
import { openShardsBy } from './shards.ts';
import { type CheckpointSource, safetensorsWeights } from './weights.ts';

/** Most bytes of the small files. */
export const CONFIG_BYTES: number = 1 << 20;
const TOKENIZER_BYTES = 64 << 20;
/** It lists added tokens. */
const TOKENIZER_CONFIG_BYTES = 16 << 20;

/** A model as its files give it: described, checked, its weights not yet read. */
export interface OpenedModel {
  /** The folder's or file's name. */
  readonly name: string;
  /** The object in config.json, unchecked. Infinities are numbers, however Python wrote them. */
  readonly config: unknown;
  /** The object in generation_config.json, where there is one. */
  readonly generationConfig?: unknown;
  /** The bytes of tokenizer.json, where there is one. */
  readonly tokenizerJson?: Uint8Array;
  /** The bytes of tokenizer_config.json, where there is one: it may hold a chat template. */
  readonly tokenizerConfig?: Uint8Array;
  /** The bytes of chat_template.jinja, where there is one. */
  readonly chatTemplate?: Uint8Array;
  /** The metadata of a GGUF file with a tokenizer (`tokenizer.ggml.*`). */
  readonly tokenizerGguf?: ReadonlyMap<string, GgufValue>;
  /** Its tensors, under the names of the file. */
  readonly weights: CheckpointSource;
  /** All files that belong to it, with their sizes in bytes. */
  readonly files: readonly { readonly name: string; readonly size: number }[];
}

/**
 * Opens a model folder in Hugging Face layout: config.json, model.safetensors or model.safetensors.index.json with its
 * shards (else pytorch_model.bin or its index), and where they exist tokenizer.json (with
 * tokenizer_config.json and chat_template.jinja) and generation_config.json. Or a GGUF file, which is a whole model: by
 * itself, as the only one of a folder without config.json, or by its name, `file`, in any folder (with all parts where it
 * is split). Headers are read and checked, weights are not.
 *
 * Throws `MODEL_FILE` where a file is missing (with what the folder holds and the remedy), `CONFIG_SIZE` and `CONFIG_JSON`
 * (config.json over 1 MiB, or not an object), `GENERATION_CONFIG_SIZE` and `_JSON`, `TOKENIZER_SIZE` (over 64 MiB; 16 MiB and
 * 1 MiB for the two beside it), and
 * what `openSafetensors`, `openShards`, `openPytorch` and `openGgufFile` throw.
 */
export async function openModel(
  model: ModelFolder | ByteSource,
  signal?: AbortSignal,
  file?: string,
): Promise<OpenedModel> {
  if (!('open' in model)) {
    if (!isGguf(model.name)) throw loneFile(model);
    return openGgufFile(model, signal);
  }
  const folder = model;
  const gguf = file ?? (await loneGguf(folder));
  if (gguf !== undefined) return openGgufModel(folder, gguf, signal);
  const files: { name: string; size: number }[] = [];
  const optional = async (path: string): Promise<ByteSource | null> => {
    try {
      const source = await folder.open(path, signal);
      files.push({ name: path, size: source.size });
      return source;
    } catch (error) {
      if (isMambaError(error, 'FILE_MISSING')) return null;
      throw error;
    }
  };

  const configFile = await optional('config.json');
  if (!configFile) throw await missing(folder, 'config.json');
  const config = await readJsonObject(configFile, 'CONFIG', CONFIG_BYTES, signal);

  const weights = await openWeights(folder, optional, files, signal);
  const generation = await optional('generation_config.json');
  const tokenizer = await optional('tokenizer.json');
  const tokenizerConfig = tokenizer && (await optional('tokenizer_config.json'));
  const chatTemplate = tokenizer && (await optional('chat_template.jinja'));
  return {
    name: folder.name,
    config,
    ...(generation && {
      generationConfig: await readJsonObject(generation, 'GENERATION_CONFIG', CONFIG_BYTES, signal),
    }),
    ...(tokenizer && { tokenizerJson: await readTokenizer(tokenizer, TOKENIZER_BYTES, signal) }),
    ...(tokenizerConfig && { tokenizerConfig: await readTokenizer(tokenizerConfig, TOKENIZER_CONFIG_BYTES, signal) }),
    ...(chatTemplate && { chatTemplate: await readTokenizer(chatTemplate, CONFIG_BYTES, signal) }),
    weights,
    files,
  };
}

/** The weights of a folder: safetensors where there are such, else a PyTorch checkpoint; each in one file or in shards. */
async function openWeights(
  folder: ModelFolder,
  optional: (path: string) => Promise<ByteSource | null>,
  files: { name: string; size: number }[],
  signal?: AbortSignal,
): Promise<CheckpointSource> {
  async function inShards<T extends { readonly source: ByteSource; readonly tensors: ReadonlyMap<string, unknown> }>(
    open: (source: ByteSource, signal?: AbortSignal) => Promise<T>,
    index: string,
  ): Promise<T[] | null> {
    if (!(await optional(index))) return null;
    const shards = await openShardsBy(open, folder, index, signal);
    for (const { source } of shards) files.push({ name: source.name, size: source.size });
    return shards;
  }
  const single = await optional('model.safetensors');
  if (single) return safetensorsWeights([await openSafetensors(single, signal)]);
  const shards = await inShards(openSafetensors, 'model.safetensors.index.json');
  if (shards) return safetensorsWeights(shards);
  const pickled = await optional('pytorch_model.bin');
  if (pickled) return pytorchWeights([await openPytorch(pickled, signal)]);
  const pickledShards = await inShards(openPytorch, 'pytorch_model.bin.index.json');
  if (pickledShards) return pytorchWeights(pickledShards);
  throw await missing(folder, 'model.safetensors or model.safetensors.index.json');
}

/** Whether a path, an address or a name is of a GGUF file. */
export const isGguf = (name: string): boolean => /\.gguf$/i.test(name);

/**
 * The one GGUF model of a folder that holds no config.json: a file, or the first part of several. Undefined where there
 * is none. Throws `MODEL_FILE` where there are more: nobody can say which is meant.
 */
async function loneGguf(folder: ModelFolder): Promise<string | undefined> {
  const held = (await folder.list?.()) ?? [];
  if (held.includes('config.json')) return undefined;
  const models = held.filter((name) => isGguf(name) && (splitName(name)?.part ?? 1) === 1);
  if (models.length < 2) return models[0];
  throw new MambaError(
    'MODEL_FILE',
    `${folder.name} holds ${models.length} GGUF models (${models.slice(0, 12).join(', ')}). Pass the one that is meant.`,
    { folder: folder.name, held: models },
  );
}

async function readTokenizer(source: ByteSource, maxBytes: number, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    return await readWhole(source, maxBytes, signal);
  } catch (error) {
    if (!isMambaError(error, 'FILE_SIZE')) throw error;
    throw new MambaError('TOKENIZER_SIZE', error.message, error.details, { cause: error });
  }
}

/** Says what was expected, what the folder holds, and what to do about it. */
async function missing(folder: ModelFolder, expected: string): Promise<MambaError> {
  const held = (await folder.list?.()) ?? null;
  const found = held ? describeFiles(held) : 'its files cannot be listed';
  const other = held?.find((name) => /\.(?:bin|pt|pth)$/i.test(name));
  const lone = held?.find((name) => /\.safetensors$/i.test(name));
  let remedy = 'A model folder in Hugging Face layout holds config.json, model.safetensors and tokenizer.json.';
  if (held?.includes(ADAPTER_CONFIG)) {
    remedy = 'It is a LoRA adapter: open the model that it was trained on, and name this folder as the adapter.';
  } else if (!expected.startsWith('config') && lone) {
    remedy = `If ${lone} holds all weights, rename it to model.safetensors; if it is one of several, add the index.`;
  } else if (other) {
    remedy = `${other} is of a format that is not read; convert it to safetensors (save_pretrained of transformers does).`;
  }
  return new MambaError('MODEL_FILE', `${folder.name}: ${expected} was expected, but ${found}. ${remedy}`, {
    folder: folder.name,
    expected,
    held,
  });
}

function loneFile(source: ByteSource): MambaError {
  return new MambaError(
    'MODEL_FILE',
    `${source.name} is a single file without a config.json, so its architecture is unknown. Pass the folder that it lies in ` +
      '(config.json, model.safetensors, tokenizer.json).',
    { file: source.name, expected: 'config.json' },
  );
}
