import { createWasmBackend } from '@mamba-ts/kernels';
import { bytesOf, DTYPES, matrix, randomBlocks, type Weight } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { QUANTISED, Random } from '@mamba-ts/tensor/testing';
import { expect, test } from 'vitest';
import { BUILDS } from './builds.ts';

// What a block takes in memory where it is more than in a file: scales of 6 bits as bytes.
const SCALES: Readonly<Record<string, number>> = { q4_k: 4, q5_k: 4 };

test.each(QUANTISED)('%s: one token times a matrix has the same bits in all builds', async (dtype) => {
  const [outputs, inputs] = [19, 1024];
  const random = new Random(1, DTYPES[dtype].bytes);
  const blocks = randomBlocks(dtype, (outputs * inputs) / DTYPES[dtype].block, 1, () => random.uniform(0, 1));
  // Groups of all sizes: large, small, all zero, below what has a reciprocal.
  const x = random.floats(inputs).map((value, i) => value * [1, 1e-6, 0, 1e-35, 3e4][(i >> 5) % 5]!);
  const products: Uint32Array[] = [];
  for (const build of BUILDS) {
    const backend = await createWasmBackend({ build });
    const writer = backend.createWeight(matrix('w', [outputs, inputs]), dtype);
    writer.write(blocks);
    const w = writer.finish();
    const y = await backend.read(backend.linear(backend.upload(x, [1, inputs]), w, null));
    expect(y.every(Number.isFinite)).toBe(true);
    products.push(new Uint32Array(y.slice().buffer));
    backend.dispose();
  }
  expect(products.length).toBeGreaterThan(1);
  for (const product of products) expect(product).toEqual(products[0]);
});

test.each(QUANTISED)('%s: several tokens are the f32 product of what the blocks hold, within 1e-6', async (dtype) => {
  const [outputs, inputs, tokens] = [9, 512, 3];
  const random = new Random(2, DTYPES[dtype].bytes);
  const blocks = randomBlocks(dtype, (outputs * inputs) / DTYPES[dtype].block, 1, () => random.uniform(0, 1));
  const x = random.floats(tokens * inputs);
  const backends = [await createWasmBackend(), createReferenceBackend({ precision: 'f64' })];
  const [found, expected] = await Promise.all(
    backends.map(async (backend) => {
      const writer = backend.createWeight(matrix('w', [outputs, inputs]), dtype);
      writer.write(blocks);
      return backend.read(backend.linear(backend.upload(x, [tokens, inputs]), writer.finish(), null));
    }),
  );
  // At most 512 products of 2 and 1.
  for (const [i, value] of found!.entries()) expect(Math.abs(value - expected![i]!)).toBeLessThan(1e-6 * 2 * inputs);
  for (const backend of backends) backend.dispose();
});

test.each(QUANTISED)('%s takes its blocks in memory, and no more', async (dtype) => {
  const { block } = DTYPES[dtype];
  const backend = await createWasmBackend();
  const writer = backend.createWeight(matrix('w', [16, 2 * block]), dtype);
  writer.write(randomBlocks(dtype, 32, 1, () => 0.5));
  const w: Weight = writer.finish();
  expect(w.dtype).toBe(dtype);
  expect(w.bytes).toBe(bytesOf(dtype, 32 * block) + 32 * (SCALES[dtype] ?? 0));
  expect(backend.memory().weights).toBe(w.bytes);
  backend.freeWeight(w);
  expect(backend.memory().weights).toBe(0);
  backend.dispose();
});
