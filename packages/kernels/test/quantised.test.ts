import { createWasmBackend } from '@mamba-ts/kernels';
import { bytesOf, DTYPES, matrix, randomBlocks, vector, type Weight } from '@mamba-ts/tensor';
import { QUANTISED, Random } from '@mamba-ts/tensor/testing';
import { expect, test } from 'vitest';
import { BUILDS } from './builds.ts';

// What a block takes in memory where it is more than in a file: scales of 6 bits as bytes.
const SCALES: Readonly<Record<string, number>> = { q4_k: 4, q5_k: 4 };

/** Groups of all sizes: large, small, all zero, below what has a reciprocal. */
const uneven = (value: number, i: number): number => value * [1, 1e-6, 0, 1e-35, 3e4][(i >> 5) % 5]!;

// Rows more than a block of tokens and odd, and more inputs than are rounded at once.
test.each(QUANTISED.flatMap((dtype) => [[dtype, 131, 1024] as const, [dtype, 3, 4608] as const]))(
  '%s: %i tokens of %i inputs have the same bits one by one and in all builds',
  async (dtype, tokens, inputs) => {
    const outputs = 75;
    const random = new Random(1, DTYPES[dtype].bytes);
    const blocks = randomBlocks(dtype, (outputs * inputs) / DTYPES[dtype].block, 1, () => random.uniform(0, 1));
    const x = random.floats(tokens * inputs).map(uneven);
    const offsets = random.floats(outputs);
    const products: Uint32Array[] = [];
    for (const build of BUILDS) {
      const backend = await createWasmBackend({ build });
      const writer = backend.createWeight(matrix('w', [outputs, inputs]), dtype);
      writer.write(blocks);
      const w = writer.finish();
      const bias = backend.createWeight(vector('b', [outputs]), 'f32');
      bias.write(new Uint8Array(offsets.buffer));
      const b = bias.finish();
      const product = async (rows: Float32Array) => {
        const y = await backend.read(backend.linear(backend.upload(rows, [rows.length / inputs, inputs]), w, b));
        backend.endStep();
        return y;
      };
      const whole = await product(x);
      expect(whole.every(Number.isFinite)).toBe(true);
      const single = new Float32Array(whole.length);
      for (let t = 0; t < tokens; t++) {
        single.set(await product(x.slice(t * inputs, (t + 1) * inputs)), t * outputs);
      }
      products.push(new Uint32Array(whole.buffer), new Uint32Array(single.buffer));
      backend.dispose();
    }
    expect(products.length).toBeGreaterThan(2);
    for (const product of products) expect(product).toEqual(products[0]);
  },
);

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
