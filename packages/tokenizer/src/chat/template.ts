import { TokenizerError } from '../errors.ts';
import type { GgufTokenizerFields } from '../gguf.ts';

/** Who said what. Templates may read more fields than these two (`tool_calls`, `name`): all that is JSON is passed on. */
export interface ChatMessage {
  /** `system`, `user` or `assistant`, or what else the template knows. */
  readonly role: string;
  readonly content: string;
  readonly [field: string]: unknown;
}

/** How a model was taught to read a conversation: a Jinja template, and the texts of its special tokens. */
export interface ChatTemplate {
  readonly source: string;
  /** `bos_token`, `eos_token` and their like, as templates name them. */
  readonly specialTokens: Readonly<Record<string, string>>;
}

/** Where a model's template may stand: files of a folder, as bytes or text, or the metadata of a GGUF file. */
export interface ChatTemplateFiles {
  /** chat_template.jinja; it counts before the one in tokenizer_config.json. */
  readonly jinja?: Uint8Array | string | undefined;
  /** tokenizer_config.json. */
  readonly tokenizerConfig?: Uint8Array | string | undefined;
  readonly gguf?: GgufTokenizerFields | undefined;
}

/** Code units; those in use have up to some 30,000. */
export const MAX_TEMPLATE: number = 2 ** 20;

/** The model's chat template, or null where it has none. Throws `CHAT_TEMPLATE` where what stands there is none. */
export function readChatTemplate({ jinja, tokenizerConfig, gguf }: ChatTemplateFiles): ChatTemplate | null {
  const config = tokenizerConfig === undefined ? {} : parseConfig(tokenizerConfig);
  const [source, where] = gguf
    ? [gguf.get('tokenizer.chat_template'), 'tokenizer.chat_template']
    : jinja !== undefined
      ? [decode(jinja, 'chat_template.jinja'), 'chat_template.jinja']
      : [config.chat_template, 'tokenizer_config.json: chat_template'];
  if (source === undefined || source === null) return null;
  return { source: templateText(source, where), specialTokens: gguf ? ggufTokens(gguf) : configTokens(config) };
}

/** A template, or the one named `default` of several. */
function templateText(value: unknown, where: string): string {
  const named = Array.isArray(value) ? value.find((each) => each?.name === 'default')?.template : value;
  if (typeof named !== 'string') {
    throw malformed(where, Array.isArray(value) ? 'a list with a template named "default"' : 'a text');
  }
  if (named.length > MAX_TEMPLATE) throw malformed(where, `a template of at most ${MAX_TEMPLATE} characters`);
  return named;
}

/** `"bos_token": "<s>"`, or in its long form `{"content": "<s>"}`. */
function configTokens(config: Readonly<Record<string, unknown>>): Record<string, string> {
  const tokens: Record<string, string> = {};
  for (const [name, value] of Object.entries(config)) {
    if (!/^[a-z]{1,20}_token$/.test(name)) continue;
    const text = typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    if (typeof text === 'string') tokens[name] = text;
  }
  return tokens;
}

function ggufTokens(fields: GgufTokenizerFields): Record<string, string> {
  const tokens: Record<string, string> = {};
  const all = fields.get('tokenizer.ggml.tokens');
  // As llama.cpp has them where a file of this kind does not say.
  const byDefault = fields.get('tokenizer.ggml.model') === 'llama' ? { bos: 1, eos: 2, unk: 0 } : {};
  const names = { bos: 'bos', eos: 'eos', unk: 'unknown', pad: 'padding' };
  for (const [name, field] of Object.entries(names)) {
    const id = fields.get(`tokenizer.ggml.${field}_token_id`) ?? (byDefault as Record<string, number>)[name];
    const token = Array.isArray(all) && typeof id === 'number' ? all[id] : undefined;
    if (typeof token === 'string') tokens[`${name}_token`] = token;
  }
  return tokens;
}

function parseConfig(source: Uint8Array | string): Readonly<Record<string, unknown>> {
  const where = 'tokenizer_config.json';
  const text = decode(source, where);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw malformed(where, 'JSON', cause);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(where, 'an object');
  return value as Readonly<Record<string, unknown>>;
}

function decode(source: Uint8Array | string, where: string): string {
  if (typeof source === 'string') return source;
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(source);
  } catch (cause) {
    throw malformed(where, 'UTF-8', cause);
  }
}

function malformed(where: string, expected: string, cause?: unknown): TokenizerError {
  return new TokenizerError(
    'CHAT_TEMPLATE',
    `${where} should be ${expected}, but is not. Give a template of your own, or use the model without one.`,
    { path: where, expected },
    { cause },
  );
}
