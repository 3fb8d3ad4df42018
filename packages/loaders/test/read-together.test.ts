import { type ByteSource, memorySource } from '@mamba-ts/loaders';
import { expect, test } from 'vitest';
import { readTogether } from '../src/read-together.ts';

const bytes = Uint8Array.from({ length: (3 << 20) + 5 }, (_, i) => i * 7 + (i >> 8));

/** A source in memory that writes down what is read of it, and fails while `broken`. */
function noted(): { source: ByteSource; reads: [number, number][]; broken: boolean } {
  const memory = memorySource('noted', bytes);
  const own = {
    reads: [] as [number, number][],
    broken: false,
    source: {
      ...memory,
      async read(offset: number, length: number, options?: Parameters<ByteSource['read']>[2]) {
        own.reads.push([offset, length]);
        if (own.broken) throw new Error('broken');
        return memory.read(offset, length, options);
      },
    },
  };
  return own;
}

test('small reads are served from one read, large ones on their own, all with the right bytes', async () => {
  const { source, reads } = noted();
  const together = readTogether(source);
  for (const [offset, length] of [
    [10, 5],
    [15, 1000],
    [2000, 1 << 20],
    [1 << 20, 10],
    [(1 << 20) + 10, 10],
    [bytes.length - 3, 3],
    [bytes.length - 3, 0],
    [3, 4],
  ] as const) {
    const into = new Uint8Array(length + 1);
    const found = await together.read(offset, length, { into });
    expect(found).toEqual(bytes.subarray(offset, offset + length));
    expect(found.buffer).toBe(into.buffer);
  }
  expect(reads).toEqual([
    [10, 1 << 20],
    [2000, 1 << 20],
    [(1 << 20) + 10, 1 << 20],
    [bytes.length - 3, 3],
    [3, 1 << 20],
  ]);
});

test('two reads at once share one, and one that failed is not remembered', async () => {
  const own = noted();
  const together = readTogether(own.source);
  const two = await Promise.all([together.read(0, 4), together.read(4, 4)]);
  expect(two).toEqual([bytes.subarray(0, 4), bytes.subarray(4, 8)]);
  expect(own.reads).toHaveLength(1);
  own.broken = true;
  await expect(together.read(2 << 20, 4)).rejects.toThrow('broken');
  own.broken = false;
  expect(await together.read(2 << 20, 4)).toEqual(bytes.subarray(2 << 20, (2 << 20) + 4));
  await expect(together.read(bytes.length, 1)).rejects.toMatchObject({ code: 'FILE_RANGE' });
  const reason = new Error('enough');
  await expect(together.read(0, 4, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  expect(await together.read(0, 4)).toEqual(bytes.subarray(0, 4));
});
