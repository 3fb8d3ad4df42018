import { decodeToF32, isMambaError } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import {
  type ByteSource,
  blobSource,
  memorySource,
  openSafetensors,
  renameSource,
  STAGING_BYTES,
  safetensorsWeights,
} from '../src/index.ts';
import { codeOf, file, join, messageOf, pattern, raw } from './helpers.ts';

const weightsOf = async (bytes: Uint8Array) => safetensorsWeights([await openSafetensors(memorySource('t', bytes))]);

test('a tensor of 20 MB comes in pieces of at most 8 MiB from one staging buffer', async () => {
  const data = new Uint8Array(20_000_004);
  new Uint32Array(data.buffer).forEach((_, i, words) => {
    words[i] = i;
  });
  const bytes = await file([
    { name: 'big', dtype: 'f32', shape: [5_000_001], data },
    { name: 'small', dtype: 'f16', shape: [3], data: pattern(6) },
  ]);
  const weights = safetensorsWeights([await openSafetensors(blobSource(new Blob([bytes as BlobPart])))]);
  const sizes: number[] = [];
  const buffers = new Set<ArrayBufferLike>();
  let next = 0;
  let wrong = 0;
  for await (const piece of weights.read('big')) {
    sizes.push(piece.byteLength);
    buffers.add(piece.buffer);
    for (const word of new Uint32Array(piece.buffer, piece.byteOffset, piece.byteLength / 4))
      if (word !== next++) wrong++;
  }
  for await (const piece of weights.read('small')) {
    expect(piece).toEqual(pattern(6));
    buffers.add(piece.buffer);
  }
  expect({ sizes, next, wrong, buffers: buffers.size }).toEqual({
    sizes: [STAGING_BYTES, STAGING_BYTES, 20_000_004 - 2 * STAGING_BYTES],
    next: 5_000_001,
    wrong: 0,
    buffers: 1,
  });
  expect([...buffers][0]!.byteLength).toBe(STAGING_BYTES);
});

test('reads at the same time do not disturb one another', async () => {
  const weights = await weightsOf(
    await file([
      { name: 'a', dtype: 'f32', shape: [4], data: pattern(16, 1) },
      { name: 'b', dtype: 'f32', shape: [4], data: pattern(16, 2) },
    ]),
  );
  expect(await join(weights.read('a'))).toEqual(pattern(16, 1)); // leaves a buffer to be used again
  for await (const a of weights.read('a')) {
    for await (const b of weights.read('b')) expect(b).toEqual(pattern(16, 2));
    expect(a).toEqual(pattern(16, 1));
  }
});

test('entries are in file order, a scalar and an empty tensor among them', async () => {
  const weights = await weightsOf(
    await file([
      { name: 'z', dtype: 'f32', shape: [], data: pattern(4) },
      { name: 'b', dtype: 'bf16', shape: [1, 2], data: pattern(4, 1) },
      { name: 'a', dtype: 'f16', shape: [0, 7], data: pattern(0) },
    ]),
  );
  expect([...weights.entries.values()]).toEqual([
    { name: 'z', dtype: 'f32', shape: [], byteLength: 4 },
    { name: 'b', dtype: 'bf16', shape: [1, 2], byteLength: 4 },
    { name: 'a', dtype: 'f16', shape: [0, 7], byteLength: 0 },
  ]);
  expect(await join(weights.read('z'))).toEqual(pattern(4));
  expect(await join(weights.read('a'))).toEqual(pattern(0));
});

test('tensors of other dtypes are listed; reading one names it', async () => {
  const weights = await weightsOf(
    raw(
      '{"ids":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"q":{"dtype":"F8_E8M0","shape":[2],"data_offsets":[8,10]}}',
      10,
    ),
  );
  expect(weights.entries.size).toBe(0);
  expect([...weights.others.values()].map(({ name, dtype }) => `${name} ${dtype}`)).toEqual(['ids I64', 'q F8_E8M0']);
  expect(await codeOf(() => join(weights.read('q')))).toBe('TENSOR_DTYPE');
  expect(await messageOf(() => join(weights.read('q')))).toContain('tensor "q" in t has the dtype F8_E8M0');
  expect(await codeOf(() => join(weights.read('w')))).toBe('TENSOR_MISSING');
});

test('tensors that nobody asks for are never read', async () => {
  const bytes = await file([
    { name: 'a', dtype: 'f32', shape: [100], data: pattern(400) },
    { name: 'b', dtype: 'f32', shape: [100], data: pattern(400) },
    { name: 'c', dtype: 'f32', shape: [100], data: pattern(400) },
  ]);
  const inner = memorySource('t', bytes);
  const read: [number, number][] = [];
  const source: ByteSource = {
    ...inner,
    read: (offset, length, options) => {
      read.push([offset, length]);
      return inner.read(offset, length, options);
    },
  };
  const opened = await openSafetensors(source);
  await join(safetensorsWeights([opened]).read('b'));
  expect(read).toEqual([
    [0, 8],
    [8, opened.dataStart - 8],
    [opened.dataStart + 400, 400],
  ]);
});

test('an abort ends the reading within a piece, and the next reading works', async () => {
  const bytes = await file([{ name: 'a', dtype: 'f32', shape: [3 << 20], data: new Uint8Array(12 << 20) }]);
  const abort = new AbortController();
  let reads = 0;
  const blob = new Blob([bytes as BlobPart]);
  const counting = new Proxy(blob, {
    get(target, key) {
      if (key !== 'slice') return Reflect.get(target, key, target);
      return (from: number, to: number) => {
        if (++reads === 6) abort.abort(new Error('enough'));
        return target.slice(from, to);
      };
    },
  });
  const weights = safetensorsWeights([await openSafetensors(blobSource(counting, 't'))]);
  reads = 0;
  await expect(join(weights.read('a', abort.signal))).rejects.toThrow('enough');
  expect(reads).toBe(6); // of the 8 steps of 1 MiB that the first piece takes
  expect((await join(weights.read('a'))).length).toBe(12 << 20);
  await expect(join(weights.read('a', AbortSignal.abort(new Error('before'))))).rejects.toThrow('before');
});

test('one name in two shards is refused', async () => {
  const make = async (name: string) =>
    openSafetensors(memorySource(name, await file([{ name: 'w', dtype: 'f32', shape: [1], data: pattern(4) }])));
  const files = [await make('one'), await make('two')];
  expect(await codeOf(() => safetensorsWeights(files))).toBe('INDEX_DUPLICATE');
});

test('renaming maps entries and reads, and refuses two of one name', async () => {
  const weights = await weightsOf(
    await file([
      { name: 'backbone.embedding.weight', dtype: 'f32', shape: [1], data: pattern(4, 1) },
      { name: 'other', dtype: 'f32', shape: [1], data: pattern(4, 2) },
    ]),
  );
  const renamed = renameSource(weights, (name) => name.replace('embedding', 'embeddings'));
  expect([...renamed.entries.keys()]).toEqual(['backbone.embeddings.weight', 'other']);
  expect(renamed.entries.get('backbone.embeddings.weight')!.name).toBe('backbone.embeddings.weight');
  expect(await join(renamed.read('backbone.embeddings.weight'))).toEqual(pattern(4, 1));
  expect(await codeOf(() => join(renamed.read('backbone.embedding.weight')))).toBe('TENSOR_MISSING');
  expect(await codeOf(() => renameSource(weights, () => 'x'))).toBe('TENSOR_NAME');
});

test('metadata of all shards together, of which the first that has a key counts; renaming keeps it, and what is no weight', async () => {
  const make = async (name: string, metadata: Record<string, string>) =>
    openSafetensors(
      memorySource(
        name,
        await file([{ name, dtype: name === 'c' ? 'i32' : 'f32', shape: [1], data: pattern(4) }], metadata),
      ),
    );
  const files = [await make('a', { x: '1', y: '2' }), await make('b', { y: '3', z: '4' }), await make('c', {})];
  const weights = safetensorsWeights(files);
  const metadata = { x: '1', y: '2', z: '4' };
  expect(Object.fromEntries(weights.metadata)).toEqual(metadata);
  const renamed = renameSource(weights, (name) => `${name}.0`);
  expect(Object.fromEntries(renamed.metadata)).toEqual(metadata);
  expect([...renamed.others.values()].map(({ name, dtype }) => [name, dtype])).toEqual([['c.0', 'I32']]);
  const { entries, read } = weights;
  const bare = renameSource({ entries, read }, (name) => name);
  expect([bare.others.size, bare.metadata.size, [...bare.entries.keys()]]).toEqual([0, 0, ['a', 'b']]);
});

test('errors are marked as ours across copies of the package', async () => {
  const error = await join((await weightsOf(raw('{}'))).read('x')).catch((thrown: unknown) => thrown);
  expect(isMambaError(error, 'TENSOR_MISSING')).toBe(true);
});

test.each(['e4m3', 'e5m2'])('each code of %s is decoded to the f16 of its value in PyTorch', async (name) => {
  const weights = await weightsOf(await loadFixture('safetensors/fp8.safetensors'));
  const storedAs = `f8_${name}`;
  expect(weights.entries.get(name)).toEqual({ name, dtype: 'f16', shape: [256], byteLength: 512, storedAs });
  const found = decodeToF32(await join(weights.read(name)), 'f16');
  const expected = decodeToF32(await join(weights.read(`${name}.values`)), 'f32');
  expect(found, 'fixtures are made by: .venv/bin/python fixtures/fp8.py').toEqual(expected);
  expect(new Set(expected).size).toBeGreaterThan(240);
});

test('an 8-bit weight with a scale beside it is not read without it', async () => {
  const bytes = raw(
    '{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]},"w_scale":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
    6,
  );
  expect(await codeOf(async () => join((await weightsOf(bytes)).read('w')))).toBe('TENSOR_SCALE');
});
