import { expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { memorySource, openSafetensors, type TensorToWrite, writeSafetensors } from '../src/index.ts';
import { codeOf, file, join, pattern } from './helpers.ts';

const bytesOf = { f32: 4, f16: 2, bf16: 2, i32: 4, i64: 8 } as const;

// As fixtures/safetensors-file.py has them.
const tensors: TensorToWrite[] = (
  [
    ['b.weight', 'f16', [3, 5]],
    ['a.weight', 'f16', [2]],
    ['scalar', 'f32', []],
    ['empty', 'f32', [0, 3]],
    ['ids', 'i64', [3]],
    ['counts', 'i32', [2, 1, 2]],
    ['half.weight', 'bf16', [4, 3]],
    ['10', 'f32', [1]],
    ['9', 'f32', [2]],
    ['quote " backslash \\ tab \t bell \x07 umlaut ü', 'f32', [1]],
    ['\ue000 private use', 'f16', [1]],
    ['🐍 astral', 'f16', [1]],
  ] as const
).map(([name, dtype, shape], n) => {
  const count = (shape as readonly number[]).reduce((product, axis) => product * axis, bytesOf[dtype] as number);
  return { name, dtype, shape, data: pattern(count, n) };
});

test('the same bytes as Python writes (remake: python fixtures/safetensors-file.py)', async () => {
  expect(await file(tensors, { format: 'pt' })).toEqual(await loadFixture('safetensors/python.safetensors'));
});

test('the order of the tensors and of metadata does not matter', async () => {
  const forwards = await file(tensors, { a: '1', b: '2' });
  expect(await file([...tensors].reverse(), { b: '2', a: '1' })).toEqual(forwards);
});

test('the header ends on a multiple of 8, at all lengths of names', async () => {
  for (let length = 1; length <= 17; length++) {
    const bytes = await file([{ name: 'x'.repeat(length), dtype: 'f32', shape: [1], data: pattern(4) }]);
    expect((bytes.length - 4) % 8).toBe(0);
    expect((await openSafetensors(memorySource('t', bytes))).dataStart).toBe(bytes.length - 4);
  }
});

test('tensors of one dtype are in the order of their names, byte by byte, a beginning before the whole', async () => {
  const named = ['ab', 'b', 'abc', 'aa', 'a', 'B', 'ac'].map((name) => ({
    name,
    dtype: 'f32' as const,
    shape: [1],
    data: pattern(4),
  }));
  const { tensors } = await openSafetensors(memorySource('t', await file(named)));
  expect([...tensors.keys()]).toEqual(['B', 'a', 'aa', 'ab', 'abc', 'ac', 'b']);
});

test('what is just within a LIMIT is written: 32 axes, 32,768 tensors', async () => {
  await file([{ name: 'a', dtype: 'f32', shape: Array(32).fill(1), data: pattern(4) }]);
  const empty = (count: number): TensorToWrite[] =>
    Array.from({ length: count }, (_, i) => ({ name: `${i}`, dtype: 'f32', shape: [0], data: pattern(0) }));
  expect((await openSafetensors(memorySource('t', await file(empty(32_768))))).tensors.size).toBe(32_768);
  expect(await codeOf(() => file(empty(32_769)))).toBe('SAFETENSORS_LIMIT');
});

test('an empty tensor is no piece', async () => {
  const sizes: number[] = [];
  const tensors: TensorToWrite[] = [
    { name: 'a', dtype: 'f32', shape: [0], data: pattern(0) },
    { name: 'b', dtype: 'f32', shape: [1], data: pattern(4) },
  ];
  for await (const piece of writeSafetensors(tensors)) sizes.push(piece.length);
  expect(sizes.slice(1)).toEqual([4]);
});

test('data may come in pieces of any size', async () => {
  async function* pieces() {
    yield pattern(40).subarray(0, 1);
    yield pattern(40).subarray(1, 1);
    yield pattern(40).subarray(1, 38);
    yield pattern(40).subarray(38);
  }
  const whole = await file([{ name: 'a', dtype: 'f32', shape: [10], data: pattern(40) }]);
  expect(await file([{ name: 'a', dtype: 'f32', shape: [10], data: pieces() }])).toEqual(whole);
});

test('what cannot be written is refused before the first byte', async () => {
  const a: TensorToWrite = { name: 'a', dtype: 'f32', shape: [1], data: pattern(4) };
  const refused = (tensor: Partial<TensorToWrite>) => codeOf(() => writeSafetensors([{ ...a, ...tensor }]));
  expect(await codeOf(() => writeSafetensors([a, a]))).toBe('TENSOR_NAME');
  expect(await refused({ name: '__metadata__' })).toBe('TENSOR_NAME');
  expect(await refused({ name: '\ud800' })).toBe('TENSOR_NAME');
  expect(await refused({ dtype: 'f64' as 'f32' })).toBe('TENSOR_DTYPE');
  expect(await refused({ shape: [-1] })).toBe('TENSOR_SHAPE');
  expect(await refused({ shape: [0.5, 2] })).toBe('TENSOR_SHAPE');
  expect(await refused({ shape: [2 ** 40, 2 ** 40] })).toBe('TENSOR_SHAPE');
  expect(await refused({ shape: [2 ** 51] })).toBe('TENSOR_SHAPE');
  expect(await refused({ shape: Array(33).fill(1) })).toBe('TENSOR_SHAPE');
  expect(await refused({ shape: [2] })).toBe('TENSOR_SIZE');
  expect(await codeOf(() => writeSafetensors([a], { k: '\udc00' }))).toBe('METADATA');
  expect(await codeOf(() => writeSafetensors([a], { k: 1 as unknown as string }))).toBe('METADATA');
});

test('pieces without end are ended once they are too many', async () => {
  let asked = 0;
  async function* endless() {
    while (true) {
      asked++;
      yield pattern(4);
    }
  }
  const stream = writeSafetensors([{ name: 'a', dtype: 'f32', shape: [2], data: endless() }]);
  expect(await codeOf(() => join(stream))).toBe('TENSOR_SIZE');
  expect(asked).toBe(3);
});

test('pieces that do not add up to the shape end the stream', async () => {
  for (const count of [0, 3, 5]) {
    async function* pieces() {
      yield pattern(count);
    }
    const stream = writeSafetensors([{ name: 'a', dtype: 'f32', shape: [1], data: pieces() }]);
    expect(await codeOf(() => join(stream))).toBe('TENSOR_SIZE');
  }
});
