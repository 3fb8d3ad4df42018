import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { fuzz, verdict } from '../../../fuzz/fuzz.ts';
import { safetensors } from '../../../fuzz/targets/safetensors.ts';
import { truncate } from '../../../fuzz/truncate.ts';

// More of them, in threads: node fuzz/run.ts safetensors. Against Python: node packages/loaders/scripts/differential.ts
describe('hostile safetensors files', () => {
  test('2000 mutants: typed errors only, every code occurs, what is accepted covers the file exactly', async () => {
    const tally = await fuzz(safetensors, 2026, 0, 2000);
    expect(verdict(safetensors, tally)).toEqual([]);
    expect(tally.mutants).toBe(2000);
  });

  test('cut at any length, each sound file is refused', async () => {
    const python = await loadFixture('safetensors/python.safetensors');
    for (const file of [...safetensors.seeds, python]) {
      const tally = await truncate(safetensors, file);
      expect(tally.failures).toEqual([]);
      expect(tally.mutants).toBe(file.length);
    }
  });
});
