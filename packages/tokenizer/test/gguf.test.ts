import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { Tokenizer } from '../src/index.ts';

interface Json {
  readonly pre_tokenizer: Record<string, unknown>;
  readonly model: { readonly vocab: Record<string, number>; readonly merges: (string | [string, string])[] };
  readonly added_tokens: { readonly id: number; readonly content: string; readonly special: boolean }[];
}

async function tokenizerJson(name: string): Promise<Json> {
  return JSON.parse(new TextDecoder().decode(await loadFixture(`tokenizer/${name}/tokenizer.json`))) as Json;
}

/** The same without what GGUF has no words for: a normalizer, an unknown token, a space put before, and when an added token counts. */
async function sayable(name: string): Promise<Tokenizer> {
  const json = await tokenizerJson(name);
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const added_tokens = json.added_tokens.map((token) => ({ ...token, ...flags }));
  const model = { ...json.model, unk_token: null };
  const pre_tokenizer = {
    ...json.pre_tokenizer,
    ...('add_prefix_space' in json.pre_tokenizer && { add_prefix_space: false }),
  };
  return Tokenizer.fromJSON({ ...json, model, pre_tokenizer, added_tokens, normalizer: null, post_processor: null });
}

/** The metadata that llama.cpp's converter makes of a tokenizer.json; ids without a token become padding. */
async function metadata(name: string, pre: string, rows = 0): Promise<Map<string, unknown>> {
  const json = await tokenizerJson(name);
  const byId = new Map(Object.entries(json.model.vocab).map(([token, id]) => [id, token]));
  const added = new Map(json.added_tokens.map((token) => [token.id, token]));
  for (const { id, content } of added.values()) byId.set(id, content);
  const ids = Array.from({ length: Math.max(rows, ...[...byId.keys()].map((id) => id + 1)) }, (_, id) => id);
  return new Map<string, unknown>([
    ['general.architecture', 'mamba'],
    ['tokenizer.ggml.model', 'gpt2'],
    ['tokenizer.ggml.pre', pre],
    ['tokenizer.ggml.tokens', ids.map((id) => byId.get(id) ?? `[PAD${id}]`)],
    [
      'tokenizer.ggml.token_type',
      ids.map((id) => (byId.has(id) ? (added.has(id) ? (added.get(id)!.special ? 3 : 4) : 1) : 5)),
    ],
    ['tokenizer.ggml.merges', json.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')))],
    ['tokenizer.ggml.add_bos_token', false],
  ]);
}

describe.each([
  ['gpt2', 'gpt-2'],
  ['neox', 'olmo'],
  ['llama3', 'llama-bpe'],
])('%s as %s', (name, pre) => {
  test('the ids of 2,000 strings and their texts are those of tokenizer.json', async () => {
    const fromGguf = Tokenizer.fromGguf(await metadata(name, pre));
    const fromJson = await sayable(name);
    const cases = new TextDecoder()
      .decode(await loadFixture(`tokenizer/${name}/encode.jsonl`))
      .split('\n')
      .slice(0, 2000);
    for (const line of cases) {
      const [text] = JSON.parse(line) as [string];
      const ids = fromGguf.encode(text);
      expect(ids).toEqual(fromJson.encode(text));
      expect(fromGguf.decode(ids)).toBe(fromJson.decode(ids));
    }
  });
});

test('rows that only pad the matrix have no text', async () => {
  const fields = await metadata('gpt2', 'mpt', 5000);
  const tokenizer = Tokenizer.fromGguf(fields);
  expect((fields.get('tokenizer.ggml.tokens') as string[])[4999]).toBe('[PAD4999]');
  expect(tokenizer.decode([4999])).toBe('');
  expect(tokenizer.tokenToId('[PAD4999]')).toBeUndefined();
});

test('the tokens around a text are added where the file, or its kind, says so', async () => {
  const fields = await metadata('gpt2', 'gpt-2');
  fields.set('tokenizer.ggml.bos_token_id', 5).set('tokenizer.ggml.eos_token_id', 7);
  const plain = Tokenizer.fromGguf(fields).encode('so');
  expect(Tokenizer.fromGguf(new Map(fields).set('tokenizer.ggml.add_bos_token', true)).encode('so')).toEqual([
    5,
    ...plain,
  ]);
  expect(Tokenizer.fromGguf(new Map(fields).set('tokenizer.ggml.add_eos_token', true)).encode('so')).toEqual([
    ...plain,
    7,
  ]);
  const llama = new Map(fields).set('tokenizer.ggml.pre', 'llama3');
  llama.delete('tokenizer.ggml.add_bos_token');
  expect(Tokenizer.fromGguf(llama).encode('so')[0]).toBe(5);
});

test.each<[string, unknown, string]>([
  ['model', 'bert', 'TOKENIZER_UNSUPPORTED'],
  ['model', undefined, 'TOKENIZER_JSON'],
  ['pre', 'tekken', 'TOKENIZER_UNSUPPORTED'],
  ['pre', 'constructor', 'TOKENIZER_UNSUPPORTED'],
  ['pre', undefined, 'TOKENIZER_JSON'],
  ['add_space_prefix', true, 'TOKENIZER_UNSUPPORTED'],
  ['add_bos_token', 1, 'TOKENIZER_JSON'],
  ['add_bos_token', true, 'TOKENIZER_JSON'], // and no id
  ['tokens', ['a', 'a'], 'TOKENIZER_JSON'],
  ['tokens', ['a', 1], 'TOKENIZER_JSON'],
  ['tokens', 'a', 'TOKENIZER_JSON'],
  ['token_type', [1], 'TOKENIZER_JSON'],
  ['token_type', undefined, 'no error'],
  ['merges', ['a'], 'TOKENIZER_JSON'],
  ['merges', undefined, 'TOKENIZER_JSON'],
])('%s %j: %s', async (key, value, code) => {
  const fields = await metadata('gpt2', 'gpt-2');
  if (key === 'tokens') fields.delete('tokenizer.ggml.token_type');
  fields.set(`tokenizer.ggml.${key}`, value);
  if (value === undefined) fields.delete(`tokenizer.ggml.${key}`);
  let found = 'no error';
  try {
    Tokenizer.fromGguf(fields);
  } catch (error) {
    found = (error as { code: string }).code;
  }
  expect(found).toBe(code);
});

test('a byte token (type 6) is refused: it belongs to another kind of tokenizer', async () => {
  const fields = await metadata('gpt2', 'gpt-2');
  const types = (fields.get('tokenizer.ggml.token_type') as number[]).with(3, 6);
  expect(() => Tokenizer.fromGguf(fields.set('tokenizer.ggml.token_type', types))).toThrow(/token_type\[3\] is 6/);
});
