import { byteTokenIds } from './character-bpe.ts';
import { TokenizerError } from './errors.ts';
import { byteLevel, KINDS } from './gguf-pre-tokenizers.ts';
import { type JsonObject, overLimit } from './json.ts';
import { MAX_MERGES } from './merges.ts';
import { parseTokenizerJson, type TokenizerConfig } from './parse.ts';
import { mergesOfPieces } from './piece-merges.ts';
import { ScoredPieces } from './scored-pieces.ts';

// The tokenizer in a GGUF file is that of a tokenizer.json, spelled otherwise: written back into that form, it passes the
// same checks and runs the same code.

/** The values under `tokenizer.ggml.*` are looked up by their whole keys; others are left alone. */
export type GgufTokenizerFields = ReadonlyMap<string, unknown>;

export const KEY = 'tokenizer.ggml.';

/** What `tokenizer.ggml.token_type` says of a token. */
export const NORMAL = 1;
export const UNKNOWN = 2;
export const CONTROL = 3;
export const USER_DEFINED = 4;
export const UNUSED = 5;
export const BYTE = 6;

/** The tokenizer that `fields` describe; see `Tokenizer.fromGguf`. */
export function parseTokenizerGguf(fields: GgufTokenizerFields): TokenizerConfig {
  const model = text(fields, 'model');
  if (model === 'gpt2') return parseTokenizerJson(byteLevelBpe(fields));
  if (model === 'llama') return sentencePiece(fields);
  throw unsupported('model', model, ['gpt2', 'llama']);
}

/**
 * The tokenizer.json that says what `fields` say. Scores of pieces become merges, as transformers makes them. Throws
 * `TOKENIZER_JSON`, `TOKENIZER_UNSUPPORTED` and `TOKENIZER_LIMIT`.
 */
export function tokenizerJsonOfGguf(fields: GgufTokenizerFields): JsonObject {
  const model = text(fields, 'model');
  if (model === 'gpt2') return byteLevelBpe(fields);
  if (model !== 'llama') throw unsupported('model', model, ['gpt2', 'llama']);
  const { json, tokens, types, scores, unknownId } = sentencePieceJson(fields);
  const pieces = new Map(tokens.flatMap((token, id) => (isPiece(types[id]!) ? [[token, id] as const] : [])));
  return {
    ...json,
    model: {
      type: 'BPE',
      ...(json.model as JsonObject),
      merges: mergesOfPieces(pieces, scores),
      unk_token: tokens[unknownId],
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
    },
  };
}

const isPiece = (type: number): boolean => type === NORMAL || type === USER_DEFINED;

function byteLevelBpe(fields: GgufTokenizerFields): JsonObject {
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
  const { tokens, types } = tokensAndTypes(fields);
  const byte = types.indexOf(BYTE);
  if (byte !== -1) throw unsupported(`token_type[${byte}]`, BYTE, ['1 to 5']);
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
    post_processor: template(fields, tokens, { addBos: kind.addBos, bos: undefined, eos: undefined }),
    decoder: byteLevel(true),
  };
}

export const SPACE = '\u2581';
/** Code units of a piece: those in use have some dozens. */
const MAX_PIECE = 1024;

interface SentencePieceFields {
  /** All but the merges. */
  readonly json: JsonObject;
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly scores: readonly number[];
  readonly unknownId: number;
}

/** SentencePiece's BPE: pieces with scores in place of merges. Ids of special tokens as llama.cpp has them by default. */
function sentencePieceJson(fields: GgufTokenizerFields): SentencePieceFields {
  const { tokens, types } = tokensAndTypes(fields);
  const scores = list(fields, 'scores', 'number');
  if (scores.length !== tokens.length) throw malformed('scores', `${tokens.length} numbers`, scores.length);
  if (scores.length > MAX_MERGES) throw overLimit(`${KEY}scores`, MAX_MERGES, scores.length);
  const notANumber = scores.findIndex(Number.isNaN);
  if (notANumber !== -1) throw malformed(`scores[${notANumber}]`, 'a number', Number.NaN);
  const unknownId = fields.get(`${KEY}unknown_token_id`) ?? 0;
  if (typeof unknownId !== 'number' || tokens[unknownId] === undefined || types[unknownId] === UNUSED) {
    throw malformed('unknown_token_id', `the id of a token below ${tokens.length}`, unknownId);
  }

  const { vocab, added } = tokensByType(tokens, types);
  const addSpace = flag(fields, 'add_space_prefix', true);
  const toMark = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  const steps = [
    { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  const json = {
    version: '1.0',
    model: { vocab },
    added_tokens: added,
    normalizer: addSpace ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE }, toMark] } : toMark,
    pre_tokenizer: null,
    post_processor: template(fields, tokens, { addBos: true, bos: 1, eos: 2 }),
    decoder: {
      type: 'Sequence',
      decoders: addSpace ? [...steps, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : steps,
    },
  };
  return { json, tokens, types, scores, unknownId };
}

function sentencePiece(fields: GgufTokenizerFields): TokenizerConfig {
  const { json, types, scores, unknownId } = sentencePieceJson(fields);
  return parseTokenizerJson(json, (_model, vocab) => {
    const pieces = new Map<string, number>();
    for (const [token, id] of vocab) {
      if (!isPiece(types[id]!)) continue;
      if (token.length > MAX_PIECE) throw overLimit(`the length of ${KEY}tokens[${id}]`, MAX_PIECE, token.length);
      pieces.set(token, id);
    }
    return new ScoredPieces({ pieces, ranks: ranksOf(scores), unknownId, byteIds: byteTokenIds(vocab) });
  });
}

/** The place of each score among the different ones, the highest first. */
function ranksOf(scores: readonly number[]): Int32Array {
  const descending = Float64Array.from(new Set(scores)).sort().reverse();
  const rankOf = new Map(Array.from(descending, (score, rank) => [score, rank]));
  return Int32Array.from(scores, (score) => rankOf.get(score)!);
}

function tokensAndTypes(fields: GgufTokenizerFields): { tokens: readonly string[]; types: readonly number[] } {
  const tokens = list(fields, 'tokens', 'string');
  const types = fields.has(`${KEY}token_type`) ? list(fields, 'token_type', 'number') : tokens.map(() => NORMAL!);
  if (types.length !== tokens.length) throw malformed('token_type', `${tokens.length} numbers`, types.length);
  return { tokens, types };
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
    if (type === NORMAL || type === BYTE) return;
    if (type !== UNKNOWN && type !== CONTROL && type !== USER_DEFINED) {
      throw unsupported(`token_type[${id}]`, type, ['1 to 6']);
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

/** What holds where the file does not say. */
interface AroundDefaults {
  readonly addBos: boolean;
  readonly bos: number | undefined;
  readonly eos: number | undefined;
}

/** The tokens around a text, as a post-processor. */
function template(fields: GgufTokenizerFields, tokens: readonly string[], defaults: AroundDefaults): JsonObject | null {
  const special: Record<string, JsonObject> = Object.create(null);
  const around = (name: 'bos' | 'eos', fallback: boolean): JsonObject[] => {
    if (!flag(fields, `add_${name}_token`, fallback)) return [];
    const id = fields.get(`${KEY}${name}_token_id`) ?? defaults[name];
    const token = typeof id === 'number' ? tokens[id] : undefined;
    if (token === undefined) throw malformed(`${name}_token_id`, `an id below ${tokens.length}`, id);
    special[token] = { id: token, ids: [id], tokens: [token] };
    return [{ SpecialToken: { id: token, type_id: 0 } }];
  };
  const single = [...around('bos', defaults.addBos), { Sequence: { id: 'A', type_id: 0 } }, ...around('eos', false)];
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
