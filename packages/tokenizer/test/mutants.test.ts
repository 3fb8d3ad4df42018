import { describe, expect, test } from 'vitest';
import { fuzz, verdict } from '../../../fuzz/fuzz.ts';
import { tokenizer, tokenizerGguf } from '../../../fuzz/targets/tokenizer.ts';
import { truncate } from '../../../fuzz/truncate.ts';
import { MergeTable } from '../src/merges.ts';

// More of them, in threads: node fuzz/run.ts tokenizer tokenizer-gguf
describe('hostile tokenizer.json files', () => {
  test('2000 mutants: a TokenizerError or a tokenizer that encodes and decodes; every code occurs', async () => {
    const tally = await fuzz(tokenizer, 2026, 0, 2000);
    expect(verdict(tokenizer, tally)).toEqual([]);
  });

  test('2000 mutants of the metadata of GGUF files, likewise', async () => {
    const tally = await fuzz(tokenizerGguf, 2026, 0, 2000);
    expect(verdict(tokenizerGguf, tally)).toEqual([]);
  });

  test('cut at any length, each is refused', async () => {
    for (const file of tokenizer.seeds) expect((await truncate(tokenizer, file)).failures).toEqual([]);
  });

  test('the largest id costs a merge table nothing: 2000 of them in 1 s', () => {
    const started = performance.now();
    for (let n = 0; n < 2000; n++) {
      const table = new MergeTable(Int32Array.of(2 ** 24 - 1), Int32Array.of(0), Int32Array.of(5));
      expect(table.rank(2 ** 24 - 1, 0)).toBe(0);
      expect(table.rank(2 ** 24 - 1, 1)).toBe(-1);
      expect(table.rank(0, 0)).toBe(-1);
    }
    expect(performance.now() - started).toBeLessThan(1000);
  });
});
