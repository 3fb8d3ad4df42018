import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { Tokenizer } from '../src/index.ts';
import { lines, unpack } from './golden.ts';

const REMAKE = 'remake with: python fixtures/tokenizer.py (pip install -r fixtures/requirements-tokenizer.txt)';
describe.each([
  { name: 'neox', strings: 20_000, sequences: 5_000, invalid: 3_000 },
  { name: 'gpt2', strings: 2_500, sequences: 500, invalid: 0 },
  { name: 'llama3', strings: 2_500, sequences: 500, invalid: 300 },
])('$name, against Python tokenizers', ({ name, strings, sequences, invalid }) => {
  const tokenizer = loadFixture(`tokenizer/${name}/tokenizer.json`).then(Tokenizer.fromJSON);

  test(`encode: ${strings} of ${strings} random strings, id for id`, async () => {
    const t = await tokenizer;
    const cases = await lines(`tokenizer/${name}/encode.jsonl`);
    const misses = cases.filter(([text, ids]) => t.encode(text!).join() !== unpack(ids!).join());
    expect(misses.map(([text]) => text).slice(0, 5), REMAKE).toEqual([]);
    expect(cases.length).toBe(strings);
  });

  test(`decode: ${sequences} of ${sequences} random id sequences, at least ${invalid} of them not UTF-8`, async () => {
    const t = await tokenizer;
    const cases = await lines(`tokenizer/${name}/decode.jsonl`);
    const misses = cases.filter(([packed, all, text]) => {
      const ids = unpack(packed!);
      return t.decode(ids, { skipSpecialTokens: false }) !== all || t.decode(ids) !== text;
    });
    expect(misses.slice(0, 5), REMAKE).toEqual([]);
    expect(cases.length).toBe(sequences);
    expect(cases.filter(([, all]) => all!.includes('\ufffd')).length).toBeGreaterThanOrEqual(invalid);
  });

  test('streaming: joined pieces equal the whole, for all of these', async () => {
    const t = await tokenizer;
    const fromText = (await lines(`tokenizer/${name}/encode.jsonl`)).map(([, ids]) => unpack(ids!));
    const random = (await lines(`tokenizer/${name}/decode.jsonl`)).map(([ids]) => unpack(ids!));
    for (const skipSpecialTokens of [true, false]) {
      const stream = t.createDecoder({ skipSpecialTokens });
      const misses = [...fromText, ...random].filter((ids) => {
        const joined = ids.map((id) => stream.push(id)).join('') + stream.flush();
        return joined !== t.decode(ids, { skipSpecialTokens });
      });
      expect(misses.slice(0, 5)).toEqual([]);
    }
  });

  test('streaming never shows part of a character of valid text', async () => {
    const t = await tokenizer;
    const text = '👩‍👩‍👧‍👦 naïve 中文 \u0e01\u0e33';
    const stream = t.createDecoder();
    for (const id of t.encode(text)) expect(stream.push(id)).not.toContain('\ufffd');
    expect(stream.flush()).toBe('');
  });
});
