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
