import { expect, test } from 'vitest';
import { fuzz, verdict } from '../../../fuzz/fuzz.ts';
import { gguf } from '../../../fuzz/targets/gguf.ts';
import { truncate } from '../../../fuzz/truncate.ts';

// More of them, in threads: node fuzz/run.ts gguf
test('3000 mutants: typed errors only, every code occurs, what is accepted lies in the file without overlap', async () => {
  const tally = await fuzz(gguf, 2026, 0, 3000);
  expect(verdict(gguf, tally)).toEqual([]);
  expect(tally.mutants).toBe(3000);
});

test('cut at any length, the sound file is refused', async () => {
  const tally = await truncate(gguf, gguf.seeds[0]!);
  expect(tally.failures).toEqual([]);
});
