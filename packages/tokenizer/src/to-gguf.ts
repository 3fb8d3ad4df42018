import type { AddedToken } from './added-tokens.ts';
import { TokenizerError } from './errors.ts';
import { BYTE, CONTROL, KEY, NORMAL, SPACE, UNKNOWN, UNUSED, USER_DEFINED } from './gguf.ts';
import { KINDS, type PreTokenizerKind } from './gguf-pre-tokenizers.ts';
import { type JsonObject, unsupported } from './json.ts';
import { parseTokenizerJson } from './parse.ts';
import { scoresOfMerges } from './piece-merges.ts';

/** A value of a GGUF file's metadata with its type; of a list, that of its elements. */
export type GgufTokenizerField = readonly [
  type: 'string' | 'u32' | 'i32' | 'f32' | 'bool',
  value: string | number | boolean | readonly string[] | readonly number[],
];

/** A tokenizer.json in the words of GGUF. */
export interface GgufTokenizer {
  /** By whole keys, `tokenizer.ggml.…`. */
  readonly fields: ReadonlyMap<string, GgufTokenizerField>;
  /** What GGUF has no words for, in ours: texts in which it occurs may get other ids. */
  readonly lost: readonly string[];
}

/** What the model says beside its tokenizer. */
export interface GgufTokenizerContext {
  /** Rows of the embedding: as many tokens are written, unused ones where the tokenizer has none. */
  readonly rows: number;
  readonly bosTokenId?: number | undefined;
  readonly eosTokenId?: number | undefined;
}

/**
 * The metadata of a GGUF file that says what a tokenizer.json says: byte-level BPE with the pre-tokenizers that llama.cpp has
 * names for (those that `Tokenizer.fromGguf` reads), and SentencePiece's BPE. Throws what `Tokenizer.fromJSON` throws, and `TOKENIZER_UNSUPPORTED` for
 * what would be read as another tokenizer.
 */
export function ggufOfTokenizerJson(
  json: string | Uint8Array,
  { rows, bosTokenId, eosTokenId }: GgufTokenizerContext,
): GgufTokenizer {
  const { vocab, addedTokens, postProcessor, textSteps } = parseTokenizerJson(json);
  // Checked above, so that what is read here is what it seems.
  const root = JSON.parse(typeof json === 'string' ? json : new TextDecoder().decode(json)) as JsonObject;
  const model = root.model as JsonObject;
  const merges = (model.merges as (string | [string, string])[]).map((merge) =>
    typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge,
  );
  const [bos, eos] = [around('prefix', postProcessor.prefix), around('suffix', postProcessor.suffix)];
  const { tokens, types } = listTokens(vocab, addedTokens, rows);
  const lost = lostFlags(addedTokens);
  const fields = new Map<string, GgufTokenizerField>();
  const put = (name: string, ...field: GgufTokenizerField): void => {
    fields.set(KEY + name, field);
  };
  if (textSteps) {
    put('model', 'string', 'llama');
    put('pre', 'string', 'default');
    put('tokens', 'string', tokens);
    put('scores', 'f32', scorePieces(model, { tokens, types, merges }));
    put('token_type', 'i32', types);
    put('add_space_prefix', 'bool', spaceBefore(root, lost));
    for (const { content, normalized } of addedTokens) {
      if (normalized) lost.push(`the token ${JSON.stringify(content)} is looked for before spaces are marked`);
    }
    put('unknown_token_id', 'u32', vocab.get(model.unk_token as string) ?? 0);
  } else {
    put('model', 'string', 'gpt2');
    put('pre', 'string', kindOf(root.pre_tokenizer, model.ignore_merges === true).names[0]!);
    put('tokens', 'string', tokens);
    put('token_type', 'i32', types);
    put(
      'merges',
      'string',
      merges.map((merge) => merge.join(' ')),
    );
    lost.push(...lostNormalForm(root.normalizer));
  }
  const id = (name: string, value: number | undefined): void => {
    if (value !== undefined) put(`${name}_token_id`, 'u32', value);
  };
  id('bos', bos ?? bosTokenId);
  id('eos', eos ?? eosTokenId);
  put('add_bos_token', 'bool', bos !== undefined);
  put('add_eos_token', 'bool', eos !== undefined);
  return { fields, lost };
}

function kindOf(preTokenizer: unknown, ignoreMerges: boolean): PreTokenizerKind {
  const wanted = essence(preTokenizer);
  const kind = KINDS.find((each) => essence(each.json) === wanted && each.ignoreMerges === ignoreMerges);
  if (kind) return kind;
  throw new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    'tokenizer.json: its pre_tokenizer has no name in GGUF that is known here; those of GPT-2, Llama 3, Qwen 2, DeepSeek and others have. ' +
      'Write safetensors, where tokenizer.json stays as it is.',
    { path: 'pre_tokenizer', found: wanted.slice(0, 200), supported: KINDS.flatMap(({ names }) => names) },
  );
}

/** What of a pre-tokenizer decides ids, in a form that compares. */
function essence(json: unknown): string {
  const { type, pretokenizers, pattern, behavior, invert, add_prefix_space, use_regex } = (json ?? {}) as JsonObject;
  if (type === 'Sequence') {
    const steps = (pretokenizers as unknown[]).map(essence);
    return steps.length === 1 ? steps[0]! : `[${steps.join()}]`;
  }
  if (type === 'ByteLevel') return `bytes(${add_prefix_space ?? true}, ${use_regex ?? true})`;
  return JSON.stringify([type, pattern, behavior, invert ?? false]);
}

function lostNormalForm(normalizer: unknown): string[] {
  if (normalizer === null || normalizer === undefined) return [];
  const { type, normalizers } = normalizer as JsonObject;
  const steps = (type === 'Sequence' ? normalizers : [normalizer]) as JsonObject[];
  if (steps.some((step) => step.type !== 'NFC'))
    throw unsupported('normalizer in a GGUF file', normalizer, ['null', 'NFC']);
  return steps.length > 0 ? ['texts are no longer brought into the normal form NFC'] : [];
}

function lostFlags(added: readonly AddedToken[]): string[] {
  return added
    .filter(({ singleWord, lstrip, rstrip }) => singleWord || lstrip || rstrip)
    .map(
      ({ content }) =>
        `the token ${JSON.stringify(content)} no longer takes the space beside it, nor minds the word it is in`,
    );
}

/** Gives the tokens of SentencePiece their types, and scores that say what the merges do. */
function scorePieces(
  { unk_token }: JsonObject,
  { tokens, types, merges }: { tokens: readonly string[]; types: number[]; merges: readonly [string, string][] },
): number[] {
  const pieces = new Map<string, number>();
  tokens.forEach((token, id) => {
    if (token === unk_token) types[id] = UNKNOWN;
    else if (types[id] === NORMAL && /^<0x[0-9A-F]{2}>$/.test(token)) types[id] = BYTE;
    else if (types[id] === NORMAL || types[id] === USER_DEFINED) pieces.set(token, id);
  });
  const scores = scoresOfMerges(pieces, merges, tokens.length);
  if (scores) return scores;
  throw new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    'tokenizer.json: its merges are not those of SentencePiece, which GGUF has scores of pieces for. Write safetensors, where ' +
      'tokenizer.json stays as it is.',
    { path: 'model.merges' },
  );
}

const MARK = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
const PREPEND = { type: 'Prepend', prepend: SPACE };

/** Whether a space goes before a text, which a normalizer or a pre-tokenizer says. */
function spaceBefore({ normalizer, pre_tokenizer }: JsonObject, lost: string[]): boolean {
  const { type, normalizers } = (normalizer ?? {}) as JsonObject;
  const steps = JSON.stringify(type === 'Sequence' ? normalizers : normalizer ? [normalizer] : []);
  if (!pre_tokenizer && steps === JSON.stringify([PREPEND, MARK])) return true;
  if (!pre_tokenizer && steps === JSON.stringify([MARK])) return false;
  const { type: split, replacement, prepend_scheme } = (pre_tokenizer ?? {}) as JsonObject;
  if (steps !== '[]' || split !== 'Metaspace' || replacement !== SPACE) {
    throw unsupported('normalizer beside this pre_tokenizer in a GGUF file', normalizer, [
      'Prepend and Replace',
      'Metaspace',
    ]);
  }
  if (prepend_scheme === 'first') lost.push('a space goes also before what follows a special token');
  return prepend_scheme !== 'never';
}

function listTokens(
  vocab: ReadonlyMap<string, number>,
  added: readonly AddedToken[],
  rows: number,
): { tokens: string[]; types: number[] } {
  const tokens = Array.from({ length: rows }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(rows).fill(UNUSED);
  const put = (id: number, token: string, type: number): void => {
    if (id >= rows) {
      throw new TokenizerError(
        'TOKENIZER_JSON',
        `tokenizer.json: the token ${JSON.stringify(token.slice(0, 60))} has the id ${id}, but the model has ${rows} rows. Do ` +
          'they belong together?',
        { path: 'model.vocab', found: id, limit: rows },
      );
    }
    tokens[id] = token;
    types[id] = type;
  };
  for (const [token, id] of vocab) put(id, token, NORMAL);
  for (const { id, content, special } of added) put(id, content, special ? CONTROL : USER_DEFINED);
  return { tokens, types };
}

/** The one token at an end of each text, or none. */
function around(end: string, ids: readonly number[]): number | undefined {
  if (ids.length < 2) return ids[0];
  throw unsupported(`post_processor in a GGUF file, tokens as ${end}`, ids.length, ['0', '1']);
}
