import type { AddedToken } from './added-tokens.ts';
import { Bpe } from './bpe.ts';
import { BYTE_TO_CHARACTER } from './bytes.ts';
import { byteTokenIds, CharacterBpe } from './character-bpe.ts';
import type { TextSteps } from './decoder.ts';
import { TokenizerError } from './errors.ts';
import {
  asArray,
  asFlag,
  asId,
  asObject,
  asText,
  type JsonObject,
  malformed,
  onlyFields,
  overLimit,
  unsupported,
} from './json.ts';
import { MAX_MERGES, MergeTable } from './merges.ts';
import type { WordModel } from './model.ts';
import { type PostProcessor, type PreTokenize, parsePostProcessor, parsePreTokenizer } from './parse-components.ts';
import { type Normalize, parseDecoder, parseNormalizer } from './parse-text.ts';

// What is accepted. The largest vocabularies in use have some 260,000 tokens in files of some 35 MB.
const MAX_FILE = 128 * 2 ** 20;
const MAX_VOCAB = 2 ** 22;
const MAX_ADDED = 2 ** 16;
/** Matching looks this far ahead at most, and the matcher has this many nodes at most. */
const MAX_ADDED_UNITS = 256;
const MAX_ADDED_UNITS_IN_ALL = 2 ** 18;

/** tokenizer.json, checked. */
export interface TokenizerConfig {
  /** Token to id, of the model alone. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly model: WordModel;
  readonly addedTokens: readonly AddedToken[];
  readonly normalize: Normalize;
  readonly preTokenize: PreTokenize;
  readonly postProcessor: PostProcessor;
  /** Null for tokens of bytes (ByteLevel). */
  readonly textSteps: TextSteps | null;
}

/** Makes the model of its checked vocabulary. */
type ModelParser = (model: JsonObject, vocab: ReadonlyMap<string, number>, byteLevel: boolean) => WordModel;

/**
 * Checks every field that is read; errors as {@link TokenizerError} says. `parseModel` reads what else `model` holds,
 * where that is not what a tokenizer.json says of BPE.
 */
export function parseTokenizerJson(source: unknown, parseModel: ModelParser = parseBpe): TokenizerConfig {
  const root = asObject(parseSource(source), 'the file');
  const version = asText(root.version ?? '1.0', 'version');
  if (version !== '1.0') throw unsupported('version', version, ['1.0']);
  for (const field of ['truncation', 'padding']) {
    if (root[field] !== undefined && root[field] !== null) throw unsupported(field, root[field], ['null']);
  }
  const modelFields = asObject(root.model, 'model');
  const vocab = parseVocab(modelFields.vocab);
  const { preTokenize, byteLevel } = parsePreTokenizer(root.pre_tokenizer);
  const model = parseModel(modelFields, vocab, byteLevel);
  const addedTokens = parseAddedTokens(root.added_tokens, vocab);
  const ids = new Set(vocab.values());
  for (const token of addedTokens) ids.add(token.id);
  const textSteps = parseDecoder(root.decoder);
  if ((textSteps === null) !== byteLevel) {
    throw unsupported('decoder beside this pre_tokenizer', root.decoder, ['ByteLevel with ByteLevel, text with text']);
  }
  return {
    vocab,
    model,
    addedTokens,
    normalize: parseNormalizer(root.normalizer),
    preTokenize,
    postProcessor: parsePostProcessor(root.post_processor, (id) => ids.has(id)),
    textSteps,
  };
}

function parseSource(source: unknown): unknown {
  if (typeof source !== 'string' && !(source instanceof Uint8Array)) return source;
  if (source.length > MAX_FILE) throw overLimit('the length of the file', MAX_FILE, source.length);
  try {
    const text =
      typeof source === 'string' ? source : new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(source);
    return JSON.parse(text);
  } catch (cause) {
    throw new TokenizerError(
      'TOKENIZER_JSON',
      `tokenizer.json: the file should be JSON in UTF-8, but is not: ${String(cause)}. Fetch it again.`,
      { path: 'the file' },
      { cause },
    );
  }
}

function parseBpe(model: JsonObject, vocab: ReadonlyMap<string, number>, byteLevel: boolean): WordModel {
  const type = asText(model.type ?? 'BPE', 'model.type');
  if (type !== 'BPE') throw unsupported('model.type', type, ['BPE']);
  onlyFields(model, 'model', [
    'type',
    'dropout',
    'unk_token',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'fuse_unk',
    'byte_fallback',
    'ignore_merges',
    'vocab',
    'merges',
  ]);
  const dropout = model.dropout ?? 0;
  if (dropout !== 0) throw unsupported('model.dropout', dropout, ['null', '0']);
  for (const affix of ['continuing_subword_prefix', 'end_of_word_suffix']) {
    const text = asText(model[affix] ?? '', `model.${affix}`);
    if (text !== '') throw unsupported(`model.${affix}`, text, ['null', '""']);
  }
  const byteFallback = asFlag(model.byte_fallback, 'model.byte_fallback', false);
  if (byteFallback && byteLevel) throw unsupported('model.byte_fallback beside ByteLevel', true, ['false']);
  const config = {
    vocab,
    merges: parseMerges(model.merges, vocab),
    ignoreMerges: asFlag(model.ignore_merges, 'model.ignore_merges', false),
    unknownId: parseUnknown(model.unk_token, vocab, byteLevel),
    fuseUnknown: asFlag(model.fuse_unk, 'model.fuse_unk', false),
  };
  return byteLevel
    ? new Bpe(config)
    : new CharacterBpe({ ...config, byteIds: byteFallback ? byteTokenIds(vocab) : null });
}

function parseVocab(value: unknown): Map<string, number> {
  const object = asObject(value, 'model.vocab');
  const tokens = Object.keys(object);
  if (tokens.length === 0) throw malformed('model.vocab', 'an object with tokens', value);
  if (tokens.length > MAX_VOCAB) throw overLimit('the size of model.vocab', MAX_VOCAB, tokens.length);
  const vocab = new Map<string, number>();
  const taken = new Set<number>();
  for (const token of tokens) {
    asText(token, 'a token of model.vocab');
    const id = asId(object[token], `model.vocab[${JSON.stringify(token.slice(0, 60))}]`);
    if (taken.has(id)) throw malformed(`model.vocab[${JSON.stringify(token.slice(0, 60))}]`, 'an id of its own', id);
    taken.add(id);
    vocab.set(token, id);
  }
  return vocab;
}

function parseUnknown(value: unknown, vocab: ReadonlyMap<string, number>, byteLevel: boolean): number {
  if (value === undefined || value === null) return -1;
  const token = asText(value, 'model.unk_token');
  const id = vocab.get(token);
  if (id !== undefined) return id;
  // Of no consequence as long as no byte is unknown: many files hold "" here.
  if (byteLevel && BYTE_TO_CHARACTER.every((character) => vocab.has(character))) return -1;
  throw malformed('model.unk_token', 'a token of model.vocab, as some bytes or characters are in none', token);
}

function parseMerges(value: unknown, vocab: ReadonlyMap<string, number>): MergeTable {
  const all = asArray(value, 'model.merges');
  if (all.length > MAX_MERGES) throw overLimit('the size of model.merges', MAX_MERGES, all.length);
  const merges = all.filter((merge) => !(typeof merge === 'string' && merge.startsWith('#version')));
  const [left, right, merged] = [0, 1, 2].map(() => new Int32Array(merges.length)) as [
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  merges.forEach((merge, rank) => {
    const path = `model.merges[${rank}]`;
    const pair = typeof merge === 'string' ? splitPair(merge) : merge;
    if (!Array.isArray(pair) || pair.length !== 2) throw malformed(path, 'two tokens', merge);
    const [a, b] = [asText(pair[0], path), asText(pair[1], path)];
    const ids = [a, b, a + b].map((token) => {
      const id = vocab.get(token);
      if (id === undefined) throw malformed(path, 'two tokens that join to a token, all of model.vocab', token);
      return id;
    });
    left[rank] = ids[0]!;
    right[rank] = ids[1]!;
    merged[rank] = ids[2]!;
  });
  return new MergeTable(left, right, merged);
}

/** The old form, "a b". Not split(): a hostile line may hold a million spaces. */
function splitPair(line: string): readonly string[] | undefined {
  const space = line.indexOf(' ');
  if (space === -1 || line.indexOf(' ', space + 1) !== -1) return undefined;
  return [line.slice(0, space), line.slice(space + 1)];
}

function parseAddedTokens(value: unknown, vocab: ReadonlyMap<string, number>): AddedToken[] {
  if (value === undefined) return [];
  const list = asArray(value, 'added_tokens');
  if (list.length > MAX_ADDED) throw overLimit('the size of added_tokens', MAX_ADDED, list.length);
  const seen = new Set<string>();
  let units = 0;
  // Python ignores the ids in the file and counts on from the vocabulary. Where the two disagree nobody can say which
  // was meant, so such a file is refused.
  let nextId = vocab.size;
  const tokens: AddedToken[] = list.map((entry, i) => {
    const path = `added_tokens[${i}]`;
    const fields = asObject(entry, path);
    onlyFields(fields, path, ['id', 'content', 'single_word', 'lstrip', 'rstrip', 'normalized', 'special']);
    const content = asText(fields.content, `${path}.content`);
    if (content === '') throw malformed(`${path}.content`, 'a string that is not empty', content);
    if (content.length > MAX_ADDED_UNITS) {
      throw overLimit(`the length of ${path}.content`, MAX_ADDED_UNITS, content.length);
    }
    units += content.length;
    if (units > MAX_ADDED_UNITS_IN_ALL) throw overLimit('the text of added_tokens', MAX_ADDED_UNITS_IN_ALL, units);
    if (seen.has(content)) throw malformed(`${path}.content`, 'another token than those before', content);
    seen.add(content);
    const id = asId(fields.id, `${path}.id`);
    const expected = vocab.get(content) ?? nextId++;
    if (id !== expected) {
      throw malformed(`${path}.id`, `${expected} (its id in model.vocab, or else the next one after it)`, id);
    }
    return {
      id,
      content,
      singleWord: asFlag(fields.single_word, `${path}.single_word`),
      lstrip: asFlag(fields.lstrip, `${path}.lstrip`),
      rstrip: asFlag(fields.rstrip, `${path}.rstrip`),
      normalized: asFlag(fields.normalized, `${path}.normalized`),
      special: asFlag(fields.special, `${path}.special`),
    };
  });
  const modelIds = new Set(vocab.values());
  for (const { id, content } of tokens) {
    if (!vocab.has(content) && modelIds.has(id)) {
      throw malformed(`the id of added token ${JSON.stringify(content)}`, 'an id of its own', id);
    }
  }
  return tokens;
}
