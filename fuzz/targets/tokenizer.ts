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

/** As GPT-NeoX, as Llama 3, and the smallest there is, with merges in the old spelling. */
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
];
const TREES: readonly JsonNode[] = FILES.map((value) => treeOf(JSON.stringify(value)));

const quoted = (words: string): string[] => words.split(' ').map((word) => `"${word}"`);
const WORDS = {
  keys: quoted(
    'type vocab merges added_tokens id content special normalized lstrip rstrip single_word model normalizer pre_tokenizer ' +
      'post_processor decoder Regex String pattern behavior SpecialToken Sequence ids pretokenizers decoders normalizers ' +
      'processors pretokenizer unk_token dropout byte_fallback fuse_unk ignore_merges single pair special_tokens a b ab Ġ <|end|>',
  ),
  values: [
    ...quoted(
      'BPE WordPiece Unigram WordLevel ByteLevel Sequence Split NFC NFD NFKC Metaspace Isolated Removed TemplateProcessing ' +
        'RobertaProcessing ByteFallback Fuse Strip Replace Lowercase A B a b ab Ġ Ġab <|end|>',
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

/** Reads, then encodes and decodes: each id has its token, and the pieces of a stream are the text. */
async function read(bytes: Uint8Array): Promise<void> {
  const tokenizer = Tokenizer.fromJSON(bytes);
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
  read,
};
