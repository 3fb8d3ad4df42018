import { isMambaError } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { mutate, random, seedFile } from '../scripts/mutate.ts';
import { memorySource, openSafetensors } from '../src/index.ts';

// Against Python's reader: node packages/loaders/scripts/differential.ts
test('3000 mutants: typed errors only, and what is accepted covers the file exactly', async () => {
  const seed = await seedFile();
  const next = random(2026);
  const seen = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    const mutant = mutate(seed, next);
    let code = 'accepted';
    try {
      const { tensors, dataStart } = await openSafetensors(memorySource('mutant', mutant));
      let at = dataStart;
      for (const { begin, end } of tensors.values()) {
        expect(dataStart + begin).toBe(at);
        at = dataStart + end;
      }
      expect(at).toBe(mutant.length);
    } catch (error) {
      if (!isMambaError(error)) throw error;
      code = error.code;
    }
    seen.set(code, (seen.get(code) ?? 0) + 1);
  }
  expect(seen.get('accepted')).toBeGreaterThan(50);
  expect(seen.size).toBeGreaterThan(12);
});
