import { expect, test } from 'vitest';
import { GGUF_LIMITS, memorySource, openGguf } from '../src/index.ts';
import { BOOL, F32, type Field, gguf, type Layout, TEXT, type TensorInfo, U8, U32, U64 } from './gguf-writer.ts';
import { codeOf } from './helpers.ts';

const codeFor = (bytes: Uint8Array): Promise<string> => codeOf(() => openGguf(memorySource('f.gguf', bytes)));
const t = (name: string, more: Partial<TensorInfo> = {}): TensorInfo => ({
  name,
  dims: [8],
  type: 0,
  data: new Uint8Array(32),
  ...more,
});
const aligned = (value: unknown, type: number = U32): Field => ['general.alignment', type, value as number];

test.each<[string, string, readonly Field[], readonly TensorInfo[], Layout?]>([
  ['nothing wrong', 'no error', [['k', U8, 1]], [t('a'), t('b')]],
  ['nothing in it', 'no error', [], []],
  ['version 2', 'no error', [], [t('a')], { version: 2 }],
  [
    'an alignment of 4',
    'no error',
    [aligned(4)],
    [t('a', { dims: [1], data: new Uint8Array(4) }), t('b')],
    { alignment: 4 },
  ],
  ['another magic', 'GGUF_MAGIC', [], [t('a')], { magic: 'GGML' }],
  ['version 1', 'GGUF_VERSION', [], [t('a')], { version: 1 }],
  ['version 4', 'GGUF_VERSION', [], [t('a')], { version: 4 }],
  ['big-endian', 'GGUF_ENDIAN', [], [t('a')], { bigEndian: true }],
  ['2^64 - 1 keys', 'GGUF_TRUNCATED', [], [t('a')], { keyCount: 2n ** 64n - 1n }],
  ['2^64 - 1 tensors', 'GGUF_TRUNCATED', [], [t('a')], { tensorCount: 2n ** 64n - 1n }],
  ['a key too many', 'GGUF_TRUNCATED', [], [], { keyCount: 1n }],
  [
    'a key twice',
    'GGUF_DUPLICATE',
    [
      ['k', U8, 1],
      ['k', U8, 2],
    ],
    [t('a')],
  ],
  ['a tensor twice', 'GGUF_DUPLICATE', [], [t('a'), t('a')]],
  ['a key that is not UTF-8', 'GGUF_UTF8', [[Uint8Array.of(0xc0, 0x80), U8, 1]], [t('a')]],
  ['a value of an unknown type', 'GGUF_VALUE', [['k', 13, 1]], [t('a')]],
  ['an array of an unknown type', 'GGUF_VALUE', [['k', [13], []]], [t('a')]],
  ['an array of arrays', 'GGUF_VALUE', [['k', [9], []]], [t('a')]],
  ['a bool of 2', 'GGUF_VALUE', [['k', BOOL, 2]], [t('a')]],
  ['an alignment of 0', 'GGUF_ALIGNMENT', [aligned(0)], [t('a')]],
  ['an alignment of 48', 'GGUF_ALIGNMENT', [aligned(48)], [t('a')]],
  ['an alignment as f32', 'GGUF_ALIGNMENT', [aligned(32, F32)], [t('a')]],
  ['an alignment as u64', 'GGUF_ALIGNMENT', [aligned(32, U64)], [t('a')]],
  ['an alignment as a text', 'GGUF_ALIGNMENT', [aligned('32', TEXT)], [t('a')]],
  ['no axis', 'GGUF_SHAPE', [], [t('a', { dims: [] })]],
  ['five axes', 'GGUF_SHAPE', [], [t('a', { dims: [8, 1, 1, 1, 1] })]],
  ['an axis of 0', 'GGUF_SHAPE', [], [t('a', { dims: [8, 0] })]],
  ['axes whose product overflows 64 bits', 'GGUF_SHAPE', [], [t('a', { dims: [2n ** 33n, 2n ** 33n] })]],
  ['rows that no whole blocks fill', 'GGUF_SHAPE', [], [t('a', { dims: [33], type: 8 })]],
  ['an unknown element type', 'GGUF_TENSOR_TYPE', [], [t('a', { type: 4 })]],
  ['an offset that is not aligned', 'GGUF_OFFSET', [], [t('a', { offset: 1 })]],
  ['an offset past the file', 'GGUF_TRUNCATED', [], [t('a', { offset: 2n ** 63n })]],
  ['a tensor past the file', 'GGUF_TRUNCATED', [], [t('a', { dims: [1000] })]],
  ['tensors on one another', 'GGUF_OVERLAP', [], [t('a'), t('b', { offset: 0 })]],
  ['tensors that overlap in part', 'GGUF_OVERLAP', [], [t('a', { dims: [16] }), t('b', { offset: 32 })]],
  ['a hole', 'GGUF_HOLE', [], [t('a'), t('b', { offset: 64, data: new Uint8Array(64) })]],
  ['bytes at the end', 'GGUF_TRAILING', [], [t('a', { data: new Uint8Array(65) })]],
  ['a name of 64 bytes', 'GGUF_LIMIT', [], [t('n'.repeat(64))]],
  ['a name of 63 bytes', 'no error', [], [t('n'.repeat(63))]],
])('%s: %s', async (_, code, fields, tensors, layout) => {
  expect(await codeFor(gguf(fields, tensors, layout))).toBe(code);
});

test('tensors in another order than their bytes are read', async () => {
  const bytes = gguf([], [t('b', { offset: 32 }), t('a', { offset: 0 })]);
  const { tensors } = await openGguf(memorySource('f.gguf', bytes));
  expect(tensors.map(({ name }) => name)).toEqual(['a', 'b']);
});

/** A source of any size whose bytes are zero after those given; counts what is read. */
function vast(start: Uint8Array, size: number) {
  const counts = { reads: 0, longest: 0 };
  const source = {
    name: 'vast.gguf',
    size,
    async read(offset: number, length: number) {
      counts.reads++;
      counts.longest = Math.max(counts.longest, length);
      const out = new Uint8Array(length);
      out.set(start.subarray(offset, offset + length));
      return out;
    },
  };
  return { source, counts };
}

test.each<[string, Uint8Array]>([
  ['a text of 1 TB', Uint8Array.of(...gguf([], [], { keyCount: 1n }).subarray(0, 24), 0, 0, 0, 0, 0, 1)],
  [
    '2^40 elements',
    gguf([['k', [U8], []]], [], {})
      .subarray(0, 24 + 8 + 1 + 4 + 4)
      .slice(),
  ],
])('in a file of 2 TB, %s are refused without reading them', async (_, start) => {
  const bytes = Uint8Array.of(...start, 0, 0, 0, 0, 0, 1, 0, 0);
  const { source, counts } = vast(bytes, 2 ** 41);
  expect(await codeOf(() => openGguf(source))).toBe('GGUF_LIMIT');
  expect(counts).toEqual({ reads: 1, longest: 5 << 18 });
});

test('a header that goes on and on is read up to the limit and no further', async () => {
  // Keys of a text each; the zeros after them are a key without a name, then its twin.
  const start = gguf([['k', TEXT, 'x'.repeat(5 << 20)]], [], { keyCount: 3n });
  const { source, counts } = vast(start, 2 ** 41);
  expect(await codeOf(() => openGguf(source))).toBe('GGUF_DUPLICATE');
  expect(counts).toEqual({ reads: 2, longest: 10 << 20 });
  const long = gguf([], [], { keyCount: 1n });
  const text = new Uint8Array(24 + 8 + 1 + 4 + 8);
  text.set(long.subarray(0, 24));
  text[24] = 1;
  text[24 + 8 + 1] = TEXT;
  new DataView(text.buffer).setBigUint64(24 + 8 + 1 + 4, BigInt(GGUF_LIMITS.header), true);
  const limited = vast(text, 2 ** 41);
  expect(await codeOf(() => openGguf(limited.source))).toBe('GGUF_LIMIT');
  expect(limited.counts.longest).toBe(GGUF_LIMITS.header);
});
