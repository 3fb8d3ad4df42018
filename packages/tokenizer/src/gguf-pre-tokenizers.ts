import type { JsonObject } from './json.ts';

/** How a text is cut before the merges; names and patterns as llama.cpp has them (llama-vocab.cpp). */
export interface PreTokenizerKind {
  readonly names: readonly string[];
  /** A `pre_tokenizer` of a tokenizer.json. */
  readonly json: JsonObject;
  readonly ignoreMerges: boolean;
  /** Whether the beginning-of-text token goes first where the file does not say. */
  readonly addBos: boolean;
}

export const byteLevel = (useRegex: boolean, addPrefixSpace = false): JsonObject => ({
  type: 'ByteLevel',
  add_prefix_space: addPrefixSpace,
  trim_offsets: true,
  use_regex: useRegex,
});

/** Cut by each pattern in turn, then into bytes. */
const cutBy = (...patterns: readonly string[]): JsonObject => ({
  type: 'Sequence',
  pretokenizers: [
    ...patterns.map((Regex) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })),
    byteLevel(false),
  ],
});

const plain = (names: readonly string[], json: JsonObject): PreTokenizerKind => ({
  names,
  json,
  ignoreMerges: false,
  addBos: false,
});

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const llama3 = (digits: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}` +
  '| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
export const DEEPSEEK3: string =
  '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+' +
  '| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';

/** First and last code points, in hexadecimal, as a class. */
function classOf(ranges: string): string {
  const character = (hexadecimal: string): string => String.fromCodePoint(Number.parseInt(hexadecimal, 16));
  return `[${ranges
    .split(' ')
    .map((range) => range.split('-').map(character).join('-'))
    .join('')}]+`;
}

/** Letters that have a case, of one version of Unicode. */
const CASED = classOf(
  '41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376 377 37b-37d 37f 386 388-38a 38c 38e-3a1 3a3-3f5 ' +
    '3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b 1d6b-1d77 1d79-1d9a 1e00-1f15 ' +
    '1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc ' +
    '1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 2115 2119-211d 2124 2126 2128 212a-212d ' +
    '212f-2134 2139 213c-213f 2145-2149 214e 2183 2184 2c00-2c7b 2c7e-2ce4 2ceb-2cee 2cf2 2cf3 a640-a66d a680-a69b ' +
    'a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 ' +
    '104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df 1e900-1e943',
);
const FULL_WIDTH_MARKS = classOf('21-2f 3a-7e ff01-ff0f ff1a-ff5e 2018-201f 3000-3002');
const IDEOGRAPHS = classOf('4e00-9fa5 800-4e00 ac00-d7ff');
const IDEOGRAPHS_AND_KANA = classOf('4e00-9fa5 3040-309f 30a0-30ff');
const BETWEEN_MARKS = ' ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+';

/** The first name of each is the one that is written. */
export const KINDS: readonly PreTokenizerKind[] = [
  plain(
    [
      ...['gpt-2', 'mpt', 'olmo', 'jais', 'phi-2', 'modern-bert', 'jina-es', 'jina-de', 'jina-v2-es', 'jina-v2-de'],
      ...['gigachat', 'a.x-4.0', 'mellum', 'exaone4', 'trillion', 'granite-docling'],
    ],
    byteLevel(true),
  ),
  {
    names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2', 'jina-v5-nano'],
    json: cutBy(llama3('{1,3}')),
    ignoreMerges: true,
    addBos: true,
  },
  plain(['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'], cutBy(llama3('{1,3}'))),
  plain(
    ['qwen2', 'stablelm2', 'deepseek-r1-qwen', 'kormo', 'f2llmv2', 'hunyuan', 'solar-open', 'megrez', 'grok-2'],
    cutBy(llama3('')),
  ),
  plain(
    ['starcoder', 'refact', 'command-r', 'smollm', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
    cutBy('\\p{N}', GPT2),
  ),
  plain(['falcon'], cutBy('[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]')),
  plain(['default'], cutBy('[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]')),
  plain(['deepseek-llm'], cutBy('[\\r\\n]', `\\s?${CASED}`, `\\s?${FULL_WIDTH_MARKS}`, '\\s+$', IDEOGRAPHS, '\\p{N}+')),
  plain(['deepseek-coder'], cutBy('[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', IDEOGRAPHS, '\\p{N}')),
  plain(['deepseek-v3', 'hunyuan-dense', 'joyai-llm', 'hy_v4'], cutBy('\\p{N}{1,3}', IDEOGRAPHS_AND_KANA, DEEPSEEK3)),
  plain(['bloom', 'poro-chat', 'gpt3-finnish'], cutBy(BETWEEN_MARKS)),
  plain(['viking'], cutBy(BETWEEN_MARKS, '\\p{N}')),
];
