import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import {
  type GgufTokenizer,
  ggufOfTokenizerJson,
  Tokenizer,
  TokenizerError,
  tokenizerJsonOfGguf,
} from '../src/index.ts';

const read = async (path: string): Promise<string> => new TextDecoder().decode(await loadFixture(`tokenizer/${path}`));
const valuesOf = ({ fields }: GgufTokenizer): Map<string, unknown> =>
  new Map([...fields].map(([key, [, value]]) => [key, value]));

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TokenizerError) return error.code;
    throw error;
  }
  return 'no error';
}

describe.each([
  ['neox', 'gpt-2'],
  ['llama3', 'llama-bpe'],
])('%s', (name, pre) => {
  test(`becomes ${pre}, and back, with the ids of 2,000 strings`, async () => {
    // Without what GGUF does not carry, which it says.
    const json = await read(`${name}/tokenizer.json`);
    const whole = ggufOfTokenizerJson(json, { rows: 3100 });
    expect(whole.lost).toEqual(['texts are no longer brought into the normal form NFC']);
    const bare = JSON.stringify({ ...JSON.parse(json), normalizer: null });
    const gguf = ggufOfTokenizerJson(bare, { rows: 3100, eosTokenId: 7, bosTokenId: 8 });
    expect(gguf.lost).toEqual([]);
    const values = valuesOf(gguf);
    expect(values.get('tokenizer.ggml.pre')).toBe(pre);
    expect((values.get('tokenizer.ggml.tokens') as string[]).length).toBe(3100);
    expect(values.get('tokenizer.ggml.eos_token_id')).toBe(name === 'llama3' ? 1 : 7);

    const expected = Tokenizer.fromJSON(bare);
    const stored = Tokenizer.fromGguf(values);
    const back = Tokenizer.fromJSON(tokenizerJsonOfGguf(values));
    const cases = (await read(`${name}/encode.jsonl`)).split('\n').slice(0, 2000);
    let compared = 0;
    for (const line of cases.filter((each) => each !== '')) {
      const text = (JSON.parse(line) as string[])[0]!;
      const ids = expected.encode(text);
      expect(stored.encode(text), line).toEqual(ids);
      expect(back.encode(text), line).toEqual(ids);
      compared++;
    }
    expect(compared).toBeGreaterThan(1000);
    expect(back.specialTokens).toEqual(expected.specialTokens);
  });

  test('a model with fewer rows than the tokenizer has ids is another one', async () => {
    const json = await read(`${name}/tokenizer.json`);
    expect(codeOf(() => ggufOfTokenizerJson(json, { rows: 100 }))).toBe('TOKENIZER_JSON');
  });
});

describe('llama', () => {
  const pieces = async (): Promise<Map<string, unknown>> => {
    const { tokens, scores, types } = JSON.parse(await read('llama/pieces.json')) as Record<string, unknown>;
    const fields = { model: 'llama', tokens, scores, token_type: types };
    return new Map(Object.entries(fields).map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
  };
  /** Without the one added token that is looked for in normalized text, which GGUF has no words for. */
  const file = async (): Promise<{ model: { merges: unknown[]; vocab: object }; added_tokens: unknown[] }> => {
    const json = JSON.parse(await read('llama/tokenizer.json'));
    return { ...json, added_tokens: json.added_tokens.slice(0, -1) };
  };
  const texts = async (): Promise<string[]> =>
    (await read('llama/encode.jsonl'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as string[])[0]!);

  test("scores of pieces become the merges of Python's tokenizer.json", async () => {
    const expected = await file();
    const found = tokenizerJsonOfGguf(await pieces());
    const model = found.model as { merges: unknown; vocab: Record<string, number> };
    const pairs = (merges: unknown): string[][] =>
      (merges as (string | string[])[]).map((merge) => (typeof merge === 'string' ? merge.split(' ') : merge));
    const [own, theirs] = [pairs(model.merges), pairs(expected.model.merges)];
    // The ways to make one piece stand together, in an order that means nothing.
    const made = (merges: string[][]) => [...new Set(merges.map((merge) => merge.join('')))];
    expect(made(own)).toEqual(made(theirs));
    expect(own.map((merge) => merge.join(' ')).sort()).toEqual(theirs.map((merge) => merge.join(' ')).sort());
    expect({ ...model.vocab }).toEqual(expected.model.vocab);
    const [a, b] = [Tokenizer.fromJSON(JSON.stringify(found)), Tokenizer.fromJSON(expected)];
    for (const text of (await texts()).slice(0, 1000)) expect(a.encode(text), text).toEqual(b.encode(text));
  });

  test('merges become scores that give the ids of 4,000 strings', async () => {
    const whole = ggufOfTokenizerJson(await read('llama/tokenizer.json'), { rows: 1410 });
    expect(whole.lost).toEqual([expect.stringContaining('is looked for before spaces are marked')]);
    const json = JSON.stringify(await file());
    const gguf = ggufOfTokenizerJson(json, { rows: 1410 });
    expect(gguf.lost).toEqual([]);
    const values = valuesOf(gguf);
    expect(values.get('tokenizer.ggml.token_type')).toEqual([
      ...((await pieces()).get('tokenizer.ggml.token_type') as number[]),
      ...new Array(10).fill(5),
    ]);
    const [expected, found] = [Tokenizer.fromJSON(json), Tokenizer.fromGguf(values)];
    const misses = (await texts()).filter((text) => found.encode(text).join() !== expected.encode(text).join());
    expect(misses).toEqual([]);
    expect((await texts()).length).toBe(4000);
  });

  test('merges that no scores give are refused', async () => {
    const json = await file();
    const { merges } = json.model;
    const with_ = (changed: unknown[]): string =>
      JSON.stringify({ ...json, model: { ...json.model, merges: changed } });
    const code = (changed: unknown[]): string => codeOf(() => ggufOfTokenizerJson(with_(changed), { rows: 1410 }));
    expect(code(merges)).toBe('no error');
    expect(code(merges.slice(0, -1))).toBe('TOKENIZER_UNSUPPORTED');
  });
});

test('what would be read as another tokenizer is refused', async () => {
  const json = JSON.parse(await read('llama3/tokenizer.json')) as Record<string, unknown>;
  const refused = (change: Record<string, unknown>): string =>
    codeOf(() => ggufOfTokenizerJson(JSON.stringify({ ...json, ...change }), { rows: 3100 }));
  expect(refused({})).toBe('no error');
  // The same cuts have another name where a whole word is no token by itself.
  const merging = JSON.stringify({ ...json, model: { ...(json.model as object), ignore_merges: false } });
  expect(ggufOfTokenizerJson(merging, { rows: 3100 }).fields.get('tokenizer.ggml.pre')).toEqual(['string', 'dbrx']);
  expect(
    refused({ pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true } }),
  ).toBe('TOKENIZER_UNSUPPORTED');
  expect(refused({ normalizer: { type: 'Lowercase' } })).toBe('TOKENIZER_UNSUPPORTED');
  const gpt2 = await read('gpt2/tokenizer.json');
  expect(codeOf(() => ggufOfTokenizerJson(gpt2, { rows: 3100 }))).toBe('TOKENIZER_UNSUPPORTED');
});
