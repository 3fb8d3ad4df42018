import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { Tokenizer, trainTokenizer } from '../src/index.ts';

const REMAKE = 'fixtures are made by: .venv/bin/python fixtures/tokenizer-train.py';
const read = async (name: string): Promise<string> =>
  new TextDecoder().decode(await loadFixture(`tokenizer/train/${name}`));

describe('trainTokenizer', () => {
  test("the whole tokenizer.json of Hugging Face tokenizers' BpeTrainer, ties and all", async () => {
    const expected = JSON.parse(await read('tokenizer.json'));
    const found = trainTokenizer([await read('text.txt')], {
      vocabSize: 400,
      specialTokens: ['<|endoftext|>', '<|user|>'],
    });
    expect(found, REMAKE).toEqual(expected);
  });

  test('what it learned encodes any text and gives it back', async () => {
    const text = await read('text.txt');
    const tokenizer = Tokenizer.fromJSON(JSON.stringify(trainTokenizer([text], { vocabSize: 300 })));
    for (const some of [text, 'never seen: Ωμέγα\u0000\t🦜', '']) {
      expect(tokenizer.decode(tokenizer.encode(some))).toBe(some);
    }
    expect(tokenizer.encode('<|endoftext|>')).toEqual([0]);
    expect(tokenizer.encode(text).length).toBeLessThan(text.length / 2);
  });

  test('several texts count as one; a text with nothing to merge ends early; rare pairs stay apart', () => {
    const merges = (texts: string[], minFrequency?: number): string[][] => {
      const json = trainTokenizer(texts, { vocabSize: 300, ...(minFrequency ? { minFrequency } : {}) });
      return (json as { model: { merges: string[][] } }).model.merges;
    };
    expect(merges(['abab', 'ab'])).toEqual([
      ['a', 'b'],
      ['ab', 'ab'],
    ]);
    expect(merges(['abab', 'ab'], 2)).toEqual([['a', 'b']]);
    expect(merges([''])).toEqual([]);
    // Three equal letters are one pair and a rest, counted as two until they are merged.
    expect(merges(['aaa'])).toEqual([
      ['a', 'a'],
      ['aa', 'a'],
    ]);
  });

  test('wrong sizes, a special token twice, and the signal', () => {
    const code = (options: Parameters<typeof trainTokenizer>[1]): unknown => {
      try {
        return trainTokenizer(['abc'], options);
      } catch (error) {
        return (error as { code?: string }).code ?? error;
      }
    };
    for (const vocabSize of [0, 256, 2.5, 2 ** 24, Number.NaN]) expect(code({ vocabSize })).toBe('TOKENIZER_ARGUMENT');
    expect(code({ vocabSize: 300, specialTokens: ['<a>', '<a>'] })).toBe('TOKENIZER_ARGUMENT');
    expect(code({ vocabSize: 300, signal: AbortSignal.abort('enough') })).toBe('enough');
  });
});
