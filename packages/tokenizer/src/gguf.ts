import { TokenizerError } from './errors.ts';
import type { JsonObject } from './json.ts';

// The tokenizer in a GGUF file is that of a tokenizer.json, spelled otherwise: written back into that form, it passes the
// same checks and runs the same code.

/** The values under `tokenizer.ggml.*` are looked up by their whole keys; others are left alone. */
export type GgufTokenizerFields = ReadonlyMap<string, unknown>;

const KEY = 'tokenizer.ggml.';

/** How a text is cut before the merges; names as llama.cpp has them (llama-vocab.cpp). */
interface PreTokenizerKind {
  readonly names: readonly string[];
  readonly json: JsonObject;
  readonly ignoreMerges: boolean;
  /** Whether the beginning-of-text token goes first where the file does not say. */
  readonly addBos: boolean;
}

const byteLevel = (useRegex: boolean, addPrefixSpace = false): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: addPrefixSpace,
  trim_offsets: true,
  use_regex: useRegex,
});

const splitThenBytes = (digits: string): JsonObject => ({
  type: 'Sequence',
  pretokenizers: [
    {
      type: 'Split',
      pattern: {
        Regex:
          `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}` +
          '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
      },
      behavior: 'Isolated',
      invert: false,
    },
    byteLevel(false),
  ],
});

const KINDS: readonly PreTokenizerKind[] = [
  {
    names: ['gpt-2', 'mpt', 'olmo', 'jais', 'phi-2', 'modern-bert'],
    json: byteLevel(true),
    ignoreMerges: false,
    addBos: false,
  },
  { names: ['llama-bpe', 'llama3', 'llama-v3'], json: splitThenBytes('{1,3}'), ignoreMerges: true, addBos: true },
  { names: ['qwen2', 'stablelm2'], json: splitThenBytes(''), ignoreMerges: false, addBos: false },
];

/** What `tokenizer.ggml.token_type` says of a token. */
const [NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED] = [1, 2, 3, 4, 5];

/** The value of a tokenizer.json that says what `fields` say; see `Tokenizer.fromGguf`. */
export function tokenizerJsonOfGguf(fields: GgufTokenizerFields): JsonObject {
  const model = text(fields, 'model');
  if (model !== 'gpt2') throw unsupported('model', model, ['gpt2']);
  const pre = text(fields, 'pre');
  const kind = KINDS.find(({ names }) => names.includes(pre));
  if (!kind) {
    throw unsupported(
      'pre',
      pre,
      KINDS.flatMap(({ names }) => names),
    );
  }
  if (flag(fields, 'add_space_prefix', false)) throw unsupported('add_space_prefix', true, ['false']);
  const tokens = list(fields, 'tokens', 'string');
  const types = fields.has(`${KEY}token_type`) ? list(fields, 'token_type', 'number') : tokens.map(() => NORMAL);
  if (types.length !== tokens.length) throw malformed('token_type', `${tokens.length} numbers`, types.length);
  const { vocab, added } = tokensByType(tokens, types);
  return {
    version: '1.0',
    model: {
      type: 'BPE',
      vocab,
      merges: list(fields, 'merges', 'string'),
      ignore_merges: kind.ignoreMerges,
      unk_token: null,
    },
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: kind.json,
    post_processor: template(fields, tokens, kind.addBos),
    decoder: byteLevel(true),
  };
}

/** Tokens that a matrix is only padded with have no text: they are left out. */
function tokensByType(tokens: readonly string[], types: readonly number[]): { vocab: JsonObject; added: JsonObject[] } {
  const vocab: Record<string, number> = Object.create(null);
  const added: JsonObject[] = [];
  tokens.forEach((token, id) => {
    const type = types[id]!;
    if (type === UNUSED) return;
    if (vocab[token] !== undefined) throw malformed(`tokens[${id}]`, 'a token of its own', token);
    vocab[token] = id;
    if (type === NORMAL) return;
    if (type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED) {
      throw unsupported(`token_type[${id}]`, type, ['1 to 5']);
    }
    added.push({
      id,
      content: token,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: type !== USER_DEFINED,
    });
  });
  return { vocab, added };
}

/** The tokens around a text, as a post-processor. */
function template(fields: GgufTokenizerFields, tokens: readonly string[], addBos: boolean): JsonObject | null {
  const special: Record<string, JsonObject> = Object.create(null);
  const around = (name: 'bos' | 'eos', fallback: boolean): JsonObject[] => {
    if (!flag(fields, `add_${name}_token`, fallback)) return [];
    const id = fields.get(`${KEY}${name}_token_id`);
    const token = typeof id === 'number' ? tokens[id] : undefined;
    if (token === undefined) throw malformed(`${name}_token_id`, `an id below ${tokens.length}`, id);
    special[token] = { id: token, ids: [id], tokens: [token] };
    return [{ SpecialToken: { id: token, type_id: 0 } }];
  };
  const single = [...around('bos', addBos), { Sequence: { id: 'A', type_id: 0 } }, ...around('eos', false)];
  return single.length === 1 ? null : { type: 'TemplateProcessing', single, pair: [], special_tokens: special };
}

function text(fields: GgufTokenizerFields, name: string): string {
  const value = fields.get(KEY + name);
  if (typeof value !== 'string') throw malformed(name, 'a text', value);
  return value;
}

function flag(fields: GgufTokenizerFields, name: string, fallback: boolean): boolean {
  const value = fields.get(KEY + name) ?? fallback;
  if (typeof value !== 'boolean') throw malformed(name, 'a bool', value);
  return value;
}

function list(fields: GgufTokenizerFields, name: string, of: 'string'): readonly string[];
function list(fields: GgufTokenizerFields, name: string, of: 'number'): readonly number[];
function list(fields: GgufTokenizerFields, name: string, of: 'string' | 'number'): readonly unknown[] {
  const value = fields.get(KEY + name);
  if (!Array.isArray(value) || value.some((each) => typeof each !== of)) {
    throw malformed(name, `a list of ${of === 'string' ? 'texts' : 'numbers'}`, value);
  }
  return value;
}

function shown(value: unknown): string {
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : String(value);
}

function malformed(name: string, expected: string, found: unknown): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_JSON',
    `GGUF tokenizer: ${KEY}${name} should be ${expected}, but is ${shown(found)}. Convert the model again.`,
    { path: KEY + name, expected, found: shown(found) },
  );
}

function unsupported(name: string, found: unknown, supported: readonly string[]): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    `GGUF tokenizer: ${KEY}${name} is ${shown(found)}, which is not supported. Supported: ${supported.join(', ')}. Pass the ` +
      "model in Hugging Face layout, with its tokenizer.json, where that one's kind is supported.",
    { path: KEY + name, found: shown(found), supported },
  );
}
