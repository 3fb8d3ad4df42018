import { isMambaError } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { random } from '../scripts/mutate.ts';
import { mutateGguf } from '../scripts/mutate-gguf.ts';
import { memorySource, openGguf } from '../src/index.ts';

// Against Python's reader: node packages/loaders/scripts/differential-gguf.ts
test('6000 mutants: typed errors only, and what is accepted lies in the file without overlap', async () => {
  const next = random(2026);
  const seen = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const mutant = mutateGguf(next);
    let code = 'accepted';
    try {
      const { tensors, dataStart } = await openGguf(memorySource('mutant', mutant));
      let at = dataStart;
      for (const { begin, end, shape, type } of tensors) {
        if (dataStart + begin < at || end <= begin) throw new Error('overlap');
        const elements = shape.reduce((product, axis) => product * axis, 1);
        if ((elements / type.block) * type.bytes !== end - begin) throw new Error('size');
        at = dataStart + end;
      }
      if (tensors.length > 0 && at > mutant.length) throw new Error('past the end');
    } catch (error) {
      if (!isMambaError(error)) throw error;
      code = error.code;
    }
    seen.set(code, (seen.get(code) ?? 0) + 1);
  }
  expect(seen.get('accepted')).toBeGreaterThan(500);
  expect([...seen.keys()].sort()).toEqual([
    'GGUF_ALIGNMENT',
    'GGUF_DUPLICATE',
    'GGUF_ENDIAN',
    'GGUF_HOLE',
    'GGUF_LIMIT',
    'GGUF_MAGIC',
    'GGUF_OFFSET',
    'GGUF_OVERLAP',
    'GGUF_SHAPE',
    'GGUF_TENSOR_TYPE',
    'GGUF_TRAILING',
    'GGUF_TRUNCATED',
    'GGUF_UTF8',
    'GGUF_VALUE',
    'GGUF_VERSION',
    'accepted',
  ]);
}, 60_000);
