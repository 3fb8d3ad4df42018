import { type ConfigJson, findArchitecture, listParameters } from '@mamba-ts/layers';
import {
  type Checkpoint,
  type GgufDType,
  type GgufField,
  ggufContent,
  jsonText,
  type OpenedModel,
  renameSource,
  safetensorsContent,
  writeGguf,
  writeSafetensors,
} from '@mamba-ts/loaders';
import { MambaError } from '@mamba-ts/tensor';
import { ggufOfTokenizerJson, readChatTemplate, tokenizerJsonOfGguf } from '@mamba-ts/tokenizer';

/** What weights can be converted to: safetensors hold the first three. */
export type ConvertDType = GgufDType;

/** How to convert. */
export interface ConvertModelOptions {
  /** Of the matrices; that of the embedding in the source unless told otherwise, f16 where it is quantised. */
  readonly dtype?: ConvertDType | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Elements written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** A file to be written: its content is computed as it is read, once. */
export interface ConvertedFile {
  readonly name: string;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** A checkpoint in another form. */
export interface ConvertedModel {
  readonly dtype: ConvertDType;
  /** Of GGUF one file, of the Hugging Face layout those of the folder. */
  readonly files: readonly ConvertedFile[];
  /** Tensors by type. */
  readonly types: Readonly<Record<string, number>>;
  /** What the form has no words for, in ours. */
  readonly lost: readonly string[];
}

/** Matrices of safetensors may have these types. */
export const SAFETENSORS_DTYPES: readonly ConvertDType[] = ['f32', 'f16', 'bf16'];

/**
 * An opened checkpoint of any layout as a GGUF file (`gguf`), or as a folder in the Hugging Face layout (`safetensors`):
 * config, weights and tokenizer. Nothing is written, and weights are read as the files are. Throws `CONVERT` for a target
 * that cannot hold the checkpoint, and what `ggufContent`, `safetensorsContent`, `ggufOfTokenizerJson` and
 * `tokenizerJsonOfGguf` throw.
 */
export async function convertModel(
  opened: OpenedModel,
  to: 'gguf' | 'safetensors',
  options: ConvertModelOptions = {},
): Promise<ConvertedModel> {
  const architecture = await findArchitecture(opened.config);
  const own = opened.config as ConfigJson;
  if (!architecture.huggingFaceConfig) {
    throw new MambaError(
      'CONVERT',
      `${opened.name} is of the architecture ${architecture.modelTypes[0]}, which has neither a Hugging Face layout nor a ` +
        'place in GGUF files: it stays as it is',
      { model: opened.name, architecture: architecture.modelTypes[0] },
    );
  }
  const config = architecture.huggingFaceConfig(own);
  const { parameters: tree } = architecture.createModel(architecture.parseConfig(config));
  const parameters = listParameters(tree);
  const weights = renameSource(opened.weights, (name) => architecture.canonicalName(name));
  const dtype = options.dtype ?? ownDType({ parameters, weights });
  const from: Source = { opened, config, checkpoint: { parameters, weights }, dtype };
  return to === 'gguf' ? toGguf(from, options) : toSafetensors(from, options);
}

interface Source {
  readonly opened: OpenedModel;
  readonly config: ConfigJson;
  readonly checkpoint: Checkpoint;
  readonly dtype: ConvertDType;
}

/** That of the first matrix, the embedding. */
function ownDType({ parameters, weights }: Checkpoint): ConvertDType {
  const embedding = parameters.find(({ role }) => role === 'matrix');
  const found = SAFETENSORS_DTYPES.find((dtype) => dtype === weights.entries.get(embedding?.name ?? '')?.dtype);
  return found ?? 'f16';
}

function toGguf({ opened, config, checkpoint, dtype }: Source, options: ConvertModelOptions): ConvertedModel {
  const { fields, lost } = ggufTokenizer(opened, config);
  const own = opened.tokenizerGguf?.get('general.name');
  const name = typeof own === 'string' ? own : opened.name;
  const content = ggufContent({ ...checkpoint, name, config, dtype, tokenizer: fields }, options);
  return {
    dtype,
    files: [{ name: `${opened.name}.gguf`, pieces: writeGguf(content.metadata, content.tensors) }],
    types: countOf(content.tensors.map(({ type }) => type)),
    lost,
  };
}

const CHAT = 'tokenizer.chat_template';
/** What a tokenizer consists of, and the chat template. */
const KEYS =
  /^tokenizer\.(?:ggml\.(?:model|pre|tokens|token_type|scores|merges|add_\w+|remove_extra_whitespaces|\w+_token_id)|chat_template\b.*)$/;
/** Kinds of numbers in `tokenizer.ggml.*`; other values say themselves what they are. */
const NUMBERS: Readonly<Record<string, 'i32' | 'f32' | 'u32'>> = { token_type: 'i32', scores: 'f32' };

function ggufTokenizer(
  { tokenizerJson, tokenizerConfig, chatTemplate, tokenizerGguf }: OpenedModel,
  config: ConfigJson,
): { fields: ReadonlyMap<string, GgufField>; lost: readonly string[] } {
  if (tokenizerJson) {
    const eos = config.eos_token_id as number | readonly number[] | undefined;
    const { fields, lost } = ggufOfTokenizerJson(tokenizerJson, {
      rows: config.vocab_size as number,
      bosTokenId: config.bos_token_id as number | undefined,
      eosTokenId: typeof eos === 'object' ? eos[0] : eos,
    });
    const template = readChatTemplate({ jinja: chatTemplate, tokenizerConfig });
    return { fields: template ? new Map([...fields, [CHAT, ['string', template.source]]]) : fields, lost };
  }
  const fields = new Map<string, GgufField>();
  for (const [key, value] of tokenizerGguf ?? []) {
    const name = key.replace(/^tokenizer\.ggml\./, '');
    if (!KEYS.test(key)) continue;
    const first = Array.isArray(value) ? value[0] : value;
    const type = typeof first === 'string' ? 'string' : typeof first === 'boolean' ? 'bool' : (NUMBERS[name] ?? 'u32');
    fields.set(key, [type, value as GgufField[1]]);
  }
  return { fields, lost: [] };
}

function toSafetensors({ opened, config, checkpoint, dtype }: Source, options: ConvertModelOptions): ConvertedModel {
  const plain = SAFETENSORS_DTYPES.find((each) => each === dtype) as 'f32' | 'f16' | 'bf16' | undefined;
  if (!plain) {
    throw new MambaError(
      'CONVERT',
      `safetensors files hold ${SAFETENSORS_DTYPES.join(', ')}, not ${dtype}. Convert to gguf.`,
      { dtype, supported: SAFETENSORS_DTYPES },
    );
  }
  const tensors = safetensorsContent(checkpoint, options.dtype && plain, options);
  const names = { f32: 'float32', f16: 'float16', bf16: 'bfloat16' } as const;
  const { torch_dtype: _, ...rest } = config;
  const files = [
    file('config.json', jsonText({ ...rest, dtype: names[plain] })),
    ...(opened.generationConfig === undefined
      ? []
      : [file('generation_config.json', jsonText(opened.generationConfig))]),
    ...tokenizerFiles(opened),
    { name: 'model.safetensors', pieces: writeSafetensors(tensors, { format: 'pt' }) },
  ];
  return { dtype, files, types: countOf(tensors.map(({ dtype }) => dtype)), lost: [] };
}

/** tokenizer.json with the chat template beside it: as they are, or from the metadata of GGUF. */
function tokenizerFiles({ tokenizerJson, tokenizerConfig, chatTemplate, tokenizerGguf }: OpenedModel): ConvertedFile[] {
  const files: ConvertedFile[] = [];
  const template = tokenizerGguf ? readChatTemplate({ gguf: tokenizerGguf }) : null;
  const put = (name: string, content: Uint8Array | string | undefined): void => {
    if (content !== undefined) files.push(file(name, content));
  };
  put('tokenizer.json', tokenizerJson ?? (tokenizerGguf && JSON.stringify(tokenizerJsonOfGguf(tokenizerGguf))));
  put('tokenizer_config.json', tokenizerConfig ?? (template ? jsonText(template.specialTokens) : undefined));
  put('chat_template.jinja', chatTemplate ?? template?.source);
  return files;
}

const file = (name: string, content: Uint8Array | string): ConvertedFile => ({
  name,
  pieces: once(typeof content === 'string' ? new TextEncoder().encode(content) : content),
});

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function countOf(types: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const type of types) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}
