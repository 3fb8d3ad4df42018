import { describe, expect, test } from 'vitest';
import { Tokenizer, TokenizerError } from '../src/index.ts';

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };

function added(content: string, id: number, over: object = {}): object {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false };
  return { id, content, ...flags, ...over };
}

function file(over: object = {}, model: object = {}): Record<string, unknown> {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [added('<|end|>', 0, { special: true }), added('  ', 4, { normalized: true })],
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
      vocab: { '<|end|>': 0, a: 1, b: 2, ab: 3 },
      merges: [['a', 'b']],
      ...model,
    },
    ...over,
  };
}

function codeOf(source: unknown): string {
  try {
    Tokenizer.fromJSON(source);
  } catch (error) {
    expect((error as Record<symbol, unknown>)[Symbol.for('mamba-ts.error')]).toBe(true);
    expect((error as Error).message.length).toBeLessThan(1000);
    if (error instanceof TokenizerError) return error.code;
    throw error;
  }
  return 'accepted';
}

const split = (regex: string, over: object = {}): object => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false, ...over },
    BYTE_LEVEL,
  ],
});
const template = (over: object): object => ({ post_processor: { ...(file().post_processor as object), ...over } });
function nested(depth: number): string {
  const open = '{"type":"Sequence","normalizers":[';
  return JSON.stringify(file()).replace('{"type":"NFC"}', `${open.repeat(depth)}${']}'.repeat(depth)}`);
}

const J = 'TOKENIZER_JSON';
const U = 'TOKENIZER_UNSUPPORTED';
const L = 'TOKENIZER_LIMIT';

const CASES: [string, string, () => unknown][] = [
  ['an empty file', J, () => ''],
  ['no JSON', J, () => '{"version":'],
  ['a byte order mark', J, () => `\ufeff${JSON.stringify(file())}`],
  ['bytes that are not UTF-8', J, () => new Uint8Array([0x7b, 0xff, 0x7d])],
  ['null', J, () => null],
  ['an array', J, () => '[]'],
  ['nothing', J, () => undefined],
  ['an open bracket, a million times', J, () => '['.repeat(1e6)],
  ['arrays a hundred thousand deep as the model', J, () => `{"model":${'['.repeat(1e5)}${']'.repeat(1e5)}}`],
  ['sequences nine deep', L, () => nested(9)],
  ['sequences a hundred thousand deep', L, () => nested(1e5)],
  [
    'a sequence of a million normalizers',
    L,
    () => file({ normalizer: { type: 'Sequence', normalizers: Array(1e6).fill({ type: 'NFC' }) } }),
  ],
  [
    'nested sequences that multiply',
    L,
    () => {
      let part: object = { type: 'NFC' };
      for (let i = 0; i < 7; i++) part = { type: 'Sequence', normalizers: Array(16).fill(part) };
      return file({ normalizer: part });
    },
  ],
  ['an unknown version', U, () => file({ version: '2.0' })],
  ['truncation', U, () => file({ truncation: { max_length: 5 } })],
  ['padding', U, () => file({ padding: {} })],
  ['no model', J, () => file({ model: undefined })],
  ['another model', U, () => file({}, { type: 'WordPiece' })],
  ['a model type that is no string', J, () => file({}, { type: 5 })],
  ['an unknown field of the model', U, () => file({}, { surprise: 1 })],
  ['dropout', U, () => file({}, { dropout: 0.1 })],
  ['byte fallback', U, () => file({}, { byte_fallback: true })],
  ['a subword prefix', U, () => file({}, { continuing_subword_prefix: '##' })],
  ['a flag that is no flag', J, () => file({}, { ignore_merges: 'yes' })],
  ['no vocabulary', J, () => file({}, { vocab: undefined })],
  ['an empty vocabulary', J, () => file({}, { vocab: {} })],
  ['a vocabulary that is a list', J, () => file({}, { vocab: ['a'] })],
  ...[-1, 1.5, 2 ** 24, 1e300, '1', null, [1], Number.NaN, -0].map((id): [string, string, () => unknown] => [
    `the id ${JSON.stringify(id)} (${String(id)})`,
    J,
    () => file({}, { vocab: { a: id } }),
  ]),
  ['two tokens with one id', J, () => file({}, { vocab: { a: 1, b: 1 } })],
  ['a token with a lone surrogate', J, () => file({}, { vocab: { '\ud800': 1 } })],
  ['an unknown token that is unknown', J, () => file({}, { unk_token: '<unk>' })],
  ['no merges', J, () => file({}, { merges: undefined })],
  ['more merges than fit', L, () => file({}, { merges: new Array(2 ** 22 + 1) })],
  ['a merge of an unknown token', J, () => file({}, { merges: ['a c'] })],
  ['a merge to an unknown token', J, () => file({}, { merges: ['b a'] })],
  ['a merge of three', J, () => file({}, { merges: [['a', 'b', 'a']] })],
  ['a merge of a number', J, () => file({}, { merges: [['a', 1]] })],
  ['a merge of a million spaces', J, () => file({}, { merges: [' '.repeat(1e6)] })],
  ['an added token without text', J, () => file({ added_tokens: [added('', 4)] })],
  ['an added token twice', J, () => file({ added_tokens: [added('c', 4), added('c', 4)] })],
  ['an added token with the id of another', J, () => file({ added_tokens: [added('c', 3)] })],
  ['an added token whose id Python would ignore', J, () => file({ added_tokens: [added('c', 9)] })],
  ['an added token that collides', J, () => file({ added_tokens: [added('c', 2)] }, { vocab: { a: 1, ab: 2, b: 7 } })],
  ['an added token that is too long', L, () => file({ added_tokens: [added('c'.repeat(257), 4)] })],
  ['too many added tokens', L, () => file({ added_tokens: new Array(70_000) })],
  [
    'too much text in added tokens',
    L,
    () => file({ added_tokens: Array.from({ length: 5000 }, (_, i) => added('c'.repeat(200) + i, 4 + i)) }),
  ],
  ['an added token with a wrong flag', J, () => file({ added_tokens: [added('c', 4, { lstrip: 1 })] })],
  ['another normalizer', U, () => file({ normalizer: { type: 'NFKC' } })],
  ['no pre-tokenizer', U, () => file({ pre_tokenizer: null })],
  ['another pre-tokenizer', U, () => file({ pre_tokenizer: { type: 'Whitespace' } })],
  ['a pattern that blows up', U, () => file({ pre_tokenizer: split('(a+)+$') })],
  ['another split behaviour', U, () => file({ pre_tokenizer: split('\\p{N}', { behavior: 'Removed' }) })],
  ['an inverted split', U, () => file({ pre_tokenizer: split('x', { invert: true }) })],
  ['another post-processor', U, () => file({ post_processor: { type: 'BertProcessing' } })],
  ['a template without the text', J, () => file(template({ single: [] }))],
  ['a template with a second text', J, () => file(template({ single: [{ Sequence: { id: 'B' } }] }))],
  ['a template with an undefined token', J, () => file(template({ special_tokens: {} }))],
  ['a template token from the prototype', J, () => file(template({ single: [{ SpecialToken: { id: 'toString' } }] }))],
  ['a template with an unknown id', J, () => file(template({ special_tokens: { '<|end|>': { ids: [77] } } }))],
  ['a template of a million pieces', L, () => file(template({ single: new Array(1e6) }))],
  ['no decoder', U, () => file({ decoder: null })],
  ['another decoder', U, () => file({ decoder: { type: 'WordPiece' } })],
];

describe('a hostile tokenizer.json is refused within 1 s', () => {
  test.each(CASES)('%s: %s', (_, code, make) => {
    const source = make();
    const start = performance.now();
    expect(codeOf(source)).toBe(code);
    expect(performance.now() - start).toBeLessThan(1000);
  });

  test('the file that these cases spoil is itself accepted', () => {
    const tokenizer = Tokenizer.fromJSON(JSON.stringify(file()));
    expect(tokenizer.encode('ab  <|end|>ba')).toEqual([0, 3, 4, 0, 2, 1]);
    expect(tokenizer.encode('ab', { addSpecialTokens: false })).toEqual([3]);
  });

  test('every value of a sound file, replaced by each of 16 others or left out: works or a TokenizerError', () => {
    const odd = [null, true, -1, 0, 1.5, 2 ** 53, '', 'NFC', '\ud800', '__proto__', [], [[]], ['a'], {}, { type: 'x' }];
    let accepted = 0;
    let refused = 0;
    const visit = (node: Record<string, unknown>, root: unknown): void => {
      for (const key of Object.keys(node)) {
        const value = node[key];
        for (const replacement of [...odd, undefined]) {
          if (Array.isArray(node) && replacement === undefined) continue;
          node[key] = replacement;
          if (codeOf(root) === 'accepted') {
            accepted++;
            const tokenizer = Tokenizer.fromJSON(root);
            tokenizer.decode(tokenizer.encode('ab <|end|>  é'));
          } else {
            refused++;
          }
        }
        node[key] = value;
        if (typeof value === 'object' && value !== null) visit(value as Record<string, unknown>, root);
      }
    };
    const root = structuredClone(file());
    visit(root, root);
    expect(codeOf(root)).toBe('accepted');
    expect(accepted).toBeGreaterThan(50);
    expect(refused).toBeGreaterThan(500);
  });

  test('tokens named like members of Object are plain tokens', () => {
    const vocab = JSON.parse('{"__proto__":0,"constructor":1,"a":2}') as object;
    const tokenizer = Tokenizer.fromJSON(file({ added_tokens: [], post_processor: null }, { vocab, merges: [] }));
    expect(tokenizer.tokenToId('__proto__')).toBe(0);
    expect(tokenizer.idToToken(1)).toBe('constructor');
    expect(tokenizer.tokenToId('toString')).toBeUndefined();
  });
});
