import { expect, test } from 'vitest';
import { fuzz, verdict } from '../fuzz.ts';
import { ggufModel } from '../targets/gguf-model.ts';

// More of them, in threads: node fuzz/run.ts gguf-model
test('3000 mutants of the models and tokenizers in GGUF files: typed errors only, what is accepted can be used', async () => {
  const tally = await fuzz(ggufModel, 2026, 0, 3000);
  expect(verdict(ggufModel, tally)).toEqual([]);
  expect(tally.mutants).toBe(3000);
});
