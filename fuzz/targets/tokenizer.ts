import { Tokenizer } from '../../packages/tokenizer/src/index.ts';
import type { Target } from '../fuzz.ts';
import { type JsonNode, printTree } from '../json-tree.ts';
import { jsonLength, jsonStructure, mutateJson, treeOf } from '../mutate-json.ts';

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const added = (id: number, content: string, on: readonly string[] = []): object => ({
  id,
  content,
  ...Object.fromEntries(
    ['single_word', 'lstrip', 'rstrip', 'normalized', 'special'].map((flag) => [flag, on.includes(flag)]),
  ),
});

const file = (over: object, model: object): object => ({
  version: '1.0',
  truncation: null,
  padding: null,
  added_tokens: [added(0, '<|end|>', ['special']), added(7, '  ', ['normalized'])],
  normalizer: { type: 'NFC' },
  pre_tokenizer: BYTE_LEVEL,
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<|end|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<|end|>': { id: '<|end|>', ids: [0], tokens: ['<|end|>'] } },
  },
  decoder: BYTE_LEVEL,
  model: {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: { '<|end|>': 0, a: 1, b: 2, ab: 3, Ġ: 4, Ġab: 5, abab: 6 },
    merges: [
      ['a', 'b'],
      ['Ġ', 'ab'],
      ['ab', 'ab'],
    ],
    ...model,
  },
  ...over,
});

const METASPACE = { type: 'Metaspace', replacement: '\u2581', prepend_scheme: 'first', split: false };
const BYTES = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`);
const PIECES = ['<unk>', '<s>', '</s>', 'a', 'b', 'ab', '\u2581', '\u2581ab', 'abab', '<x>', ...BYTES];
const llama = { unk_token: '<unk>', fuse_unk: true, byte_fallback: true };
const llamaVocab = Object.fromEntries(PIECES.map((piece, id) => [piece, id]));

/** As GPT-NeoX, as Llama 3, the smallest there is, with merges in the old spelling, and as Llama 2 in its two forms. */
const FILES = [
  file({}, {}),
  file(
    {
      normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }] },
      added_tokens: [added(8, '<x>', ['special', 'lstrip', 'rstrip']), added(9, 'é', ['normalized', 'single_word'])],
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: LLAMA3 }, behavior: 'Isolated', invert: false },
          { ...BYTE_LEVEL, use_regex: false },
        ],
      },
      post_processor: { type: 'Sequence', processors: [BYTE_LEVEL] },
      decoder: { type: 'Sequence', decoders: [BYTE_LEVEL] },
    },
    {
      ignore_merges: true,
      unk_token: 'u',
      fuse_unk: true,
      vocab: { u: 0, a: 1, b: 2, ab: 3, Ġ: 4, ba: 5, aab: 6, aa: 7 },
      merges: ['a b', 'b a', 'a ab', 'a a'],
    },
  ),
  file(
    {
      added_tokens: [],
      normalizer: null,
      post_processor: null,
      pre_tokenizer: { ...BYTE_LEVEL, add_prefix_space: true },
    },
    { vocab: { a: 16_777_215, b: 0, ab: 7 }, merges: ['#version: 0.2', 'a b'] },
  ),
  file(
    {
      added_tokens: [added(1, '<s>', ['special']), added(9, '<x>')],
      normalizer: {
        type: 'Sequence',
        normalizers: [
          { type: 'Prepend', prepend: '\u2581' },
          { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
        ],
      },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
    },
    { ...llama, vocab: llamaVocab, merges: ['a b', '\u2581 ab', 'ab ab'] },
  ),
  file(
    {
      added_tokens: [],
      normalizer: null,
      post_processor: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Digits', individual_digits: true },
          { type: 'Split', pattern: { Regex: ' ?[^\\s\\p{L}!-/]{1,3}' }, behavior: 'Isolated', invert: false },
          { type: 'Split', pattern: { Regex: '\\s+$' }, behavior: 'Isolated', invert: false },
          BYTE_LEVEL,
        ],
      },
    },
    {},
  ),
  file(
    { added_tokens: [], normalizer: null, post_processor: null, pre_tokenizer: METASPACE, decoder: METASPACE },
    { ...llama, vocab: { '<unk>': 0, a: 1, b: 2, ab: 3, '\u2581': 4, '<0xC3>': 5, '<0xA9>': 6 }, merges: ['a b'] },
  ),
];
const TREES: readonly JsonNode[] = FILES.map((value) => treeOf(JSON.stringify(value)));

const quoted = (words: string): string[] => words.split(' ').map((word) => `"${word}"`);
const WORDS = {
  keys: quoted(
    'type vocab merges added_tokens id content special normalized lstrip rstrip single_word model normalizer pre_tokenizer ' +
      'post_processor decoder Regex String pattern behavior SpecialToken Sequence ids pretokenizers decoders normalizers ' +
      'processors pretokenizer prepend content start stop String replacement prepend_scheme split unk_token dropout byte_fallback fuse_unk ignore_merges single pair special_tokens a b ab Ġ <|end|>',
  ),
  values: [
    ...quoted(
      'BPE WordPiece Unigram WordLevel ByteLevel Digits Sequence Split NFC NFD NFKC Metaspace Isolated Removed TemplateProcessing ' +
        'RobertaProcessing ByteFallback Fuse Strip Replace Prepend Lowercase always first never A B a b ab Ġ Ġab \u2581 <|end|>',
    ),
    ...[
      '"a b"',
      '"b a"',
      '" "',
      '"a  b"',
      '["a","b"]',
      '["ab","a"]',
      '["a","b","ab"]',
      '[1,2]',
      '{"a":1}',
      '{"type":"NFC"}',
    ],
    ...[
      '{"Regex":"(a+)+$"}',
      '{"Regex":"[a-z]+"}',
      '{"Regex":"\\\\s?[^a\\\\p{P}]{1,2}"}',
      '{"Regex":"[^\\ud800-z]"}',
      '{"String":" "}',
      '{"SpecialToken":{"id":"<|end|>"}}',
      '{"Sequence":{"id":"B"}}',
      '{"ids":[0]}',
    ],
    JSON.stringify(BYTE_LEVEL),
    JSON.stringify(added(8, 'c', ['special'])),
  ],
};

const encoded = (value: object): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** Words, spaces, marks, added tokens and their halves, what changes under NFC, surrogates, and a run that merges. */
const TEXT = `ab <|end|> abab\n\n  e\u0301<|en \u1100\u1161\u{1f600}\ud800 <x>\u00e9 1234 'S ${'ab'.repeat(40)}`;

/** Encodes and decodes: each id has its token, and the pieces of a stream are the text. */
export function useTokenizer(tokenizer: Tokenizer): void {
  const ids = tokenizer.encode(TEXT);
  for (const id of ids) {
    if (tokenizer.idToToken(id) === undefined) throw new Error(`encode gave the id ${id}, which has no token`);
  }
  if (ids.length > 4096) throw new Error(`${TEXT.length} characters became ${ids.length} ids`);
  const decoder = tokenizer.createDecoder();
  const streamed = ids.map((id) => decoder.push(id)).join('') + decoder.flush();
  if (streamed !== tokenizer.decode(ids)) throw new Error('a stream decodes to another text than the whole');
  if (tokenizer.vocabSize < 1) throw new Error(`a vocabulary of ${tokenizer.vocabSize}`);
}

export const tokenizer: Target = {
  name: 'tokenizer',
  codes: ['TOKENIZER_JSON', 'TOKENIZER_UNSUPPORTED', 'TOKENIZER_LIMIT'],
  seeds: TREES.map((tree) => new TextEncoder().encode(printTree(tree))),
  mutate: (random, seed) => mutateJson(random, TREES[seed]!, WORDS),
  large: [
    () =>
      encoded(
        file({}, { vocab: Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`t${i}`, i])), merges: [] }),
      ),
    () => encoded(file({}, { merges: Array(50_000).fill('a b') })),
    () =>
      encoded(
        file({ added_tokens: Array.from({ length: 6000 }, (_, i) => added(7 + i, `${'c'.repeat(40)}${i}`)) }, {}),
      ),
    () => new TextEncoder().encode(`{"model":${'['.repeat(2e5)}${']'.repeat(2e5)}}`),
    () => encoded(file({}, { vocab: { [`${'a'.repeat(1 << 20)}`]: 0, a: 1 }, merges: [] })),
  ],
  structure: jsonStructure,
  fixture: /^tokenizer\.json$/,
  declaredLength: jsonLength,
  read: async (bytes) => useTokenizer(Tokenizer.fromJSON(bytes)),
};

const TOKENS = PIECES.slice(0, 10);
const BYTE_LEVEL_FIELDS = {
  model: 'gpt2',
  pre: 'llama-bpe',
  tokens: ['<s>', 'a', 'b', 'ab', '\u0120', '\u0120ab', '[PAD]', '<x>'],
  token_type: [3, 1, 1, 1, 1, 1, 5, 4],
  merges: ['a b', '\u0120 ab'],
  bos_token_id: 0,
};
/** Metadata of a GGUF file, as JSON: SentencePiece with and without byte tokens, and byte-level BPE. */
const METADATA: readonly JsonNode[] = [
  {
    model: 'llama',
    tokens: PIECES,
    scores: PIECES.map((_, id) => -id),
    token_type: PIECES.map((_, id) => (id > 9 ? 6 : ([2, 3, 3][id] ?? (id === 9 ? 4 : 1)))),
    bos_token_id: 1,
    eos_token_id: 2,
    unknown_token_id: 0,
    add_eos_token: true,
  },
  { model: 'llama', tokens: TOKENS, scores: TOKENS.map(() => -1), add_space_prefix: false, add_bos_token: false },
  BYTE_LEVEL_FIELDS,
  { ...BYTE_LEVEL_FIELDS, pre: 'deepseek-llm' },
  { ...BYTE_LEVEL_FIELDS, pre: 'gpt-2', add_bos_token: true, eos_token_id: 0, add_eos_token: true },
].map((value) => treeOf(JSON.stringify(value)));

const FIELD_WORDS = {
  keys: quoted(
    'model pre tokens scores token_type merges bos_token_id eos_token_id unknown_token_id add_bos_token add_eos_token ' +
      'add_space_prefix',
  ),
  values: quoted(
    'llama gpt2 t5 bert gpt-2 llama-bpe qwen2 default falcon starcoder deepseek-coder deepseek-v3 bloom viking constructor <s> <x> a b ab \u2581 \u2581ab <0x41> [PAD]',
  ).concat(['true', 'false', '0', '1', '3', '4', '5', '6', '7', '-1', '1e30', '"a b"', '[]', '[1]', '["a"]']),
};

const many = (over: object): Uint8Array => encoded({ model: 'llama', ...over });

export const tokenizerGguf: Target = {
  name: 'tokenizer-gguf',
  codes: ['TOKENIZER_JSON', 'TOKENIZER_UNSUPPORTED', 'TOKENIZER_LIMIT'],
  seeds: METADATA.map((tree) => new TextEncoder().encode(printTree(tree))),
  mutate: (random, seed) => mutateJson(random, METADATA[seed]!, FIELD_WORDS),
  large: [
    () => many({ tokens: Array.from({ length: 60_000 }, (_, i) => `t${i}`), scores: Array(60_000).fill(0) }),
    () => many({ tokens: ['<unk>', 's', 'a'.repeat(1 << 20)], scores: [0, 0, 0], add_bos_token: false }),
    () => {
      // Every run of one letter is a piece, and the longest are the best: many long pairs are looked up.
      const tokens = ['<unk>', ...Array.from({ length: 1000 }, (_, i) => 'ab'.repeat(500).slice(0, i + 1))];
      return many({ tokens, scores: tokens.map((_, i) => i), add_bos_token: false });
    },
  ],
  structure: jsonStructure,
  fixture: /^never$/,
  declaredLength: jsonLength,
  read: async (bytes) => {
    let fields: unknown;
    try {
      fields = JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      fields = {};
    }
    useTokenizer(
      Tokenizer.fromGguf(new Map(Object.entries(fields ?? {}).map(([key, value]) => [`tokenizer.ggml.${key}`, value]))),
    );
  },
};
