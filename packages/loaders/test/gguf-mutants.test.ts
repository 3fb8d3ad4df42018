import { DEQUANTIZE } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { fuzz, verdict } from '../../../fuzz/fuzz.ts';
import { gguf } from '../../../fuzz/targets/gguf.ts';
import { truncate } from '../../../fuzz/truncate.ts';
import { memorySource, openGguf } from '../src/index.ts';

// More of them, in threads: node fuzz/run.ts gguf
test('3000 mutants: typed errors only, every code occurs, what is accepted lies in the file without overlap', async () => {
  const tally = await fuzz(gguf, 2026, 0, 3000);
  expect(verdict(gguf, tally)).toEqual([]);
  expect(tally.mutants).toBe(3000);
});

test('cut at any length, each sound file is refused, one of them with a tensor of every quantised type', async () => {
  for (const file of gguf.seeds) {
    const tally = await truncate(gguf, file);
    expect(tally.failures).toEqual([]);
    expect(tally.mutants).toBe(gguf.declaredLength(file));
  }
  const { tensors } = await openGguf(memorySource('all', gguf.seeds[1]!));
  expect(tensors.map(({ type }) => type.name)).toEqual(expect.arrayContaining([...DEQUANTIZE.keys()]));
});
