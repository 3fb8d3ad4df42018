import { expect, test } from 'vitest';
import { fuzz, verdict } from '../../../fuzz/fuzz.ts';
import { pytorch } from '../../../fuzz/targets/pytorch.ts';
import { truncate } from '../../../fuzz/truncate.ts';

// More of them, in threads: node fuzz/run.ts pytorch. Against PyTorch: node packages/loaders/scripts/differential.ts pytorch
test('2500 mutants: typed errors only, every code occurs, each accepted tensor gives the bytes of its shape', async () => {
  const tally = await fuzz(pytorch, 2026, 0, 2500);
  expect(verdict(pytorch, tally)).toEqual([]);
  expect(tally.mutants).toBe(2500);
});

test('cut at any length, each sound archive is refused', async () => {
  for (const file of pytorch.seeds) {
    const tally = await truncate(pytorch, file);
    expect(tally.failures).toEqual([]);
    expect(tally.mutants).toBe(file.length);
  }
});
