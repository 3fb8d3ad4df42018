import { createWasmBackend } from '@mamba-ts/kernels';
import { type Backend, matrix } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { firstDifference, uploadWeight } from '@mamba-ts/tensor/testing';
import { expect, test } from 'vitest';
import { BUILDS } from './builds.ts';

// f16 lies in memory in one of three forms: times 2^10 (all below 64), as it is, or as f32 (an infinity or NaN). The
// form changes while the matrix streams in, and whatever came before must not.
const [outputs, inputs] = [11, 9];
const small = Float32Array.from({ length: outputs * inputs }, (_, i) =>
  // Every third is subnormal in f16, down to the smallest.
  i % 3 === 0 ? (i % 2 ? -1 : 1) * 2 ** -24 * (1 + 10 * i) : Math.fround(((i * 37) % 101) / 64 - 0.75),
);
const changes: Record<string, readonly [index: number, value: number][]> = {
  'all below 64': [[70, 63.96875]],
  'a 64 amid them': [[50, 64]],
  'the largest f16 last': [[98, -65504]],
  'an infinity amid them': [[50, Number.POSITIVE_INFINITY]],
  'a 100, then a NaN': [
    [20, 100],
    [60, Number.NaN],
  ],
};

for (const [build, name, list] of BUILDS.flatMap((build) =>
  Object.entries(changes).map(([name, list]) => [build, name, list] as const),
)) {
  test(`f16 weights on wasm-${build}, ${name}: rows to the bit, products within 1e-6 of the terms`, async () => {
    const values = small.slice();
    for (const [index, value] of list) values[index] = value;
    const backend = await createWasmBackend({ build });
    const exact = createReferenceBackend({ precision: 'f64' });
    for (const pieces of [1, 3, 99]) {
      const run = async (on: Backend, magnitude: (value: number) => number): Promise<number[][]> => {
        const w = uploadWeight(on, matrix('w', [outputs, inputs]), values.map(magnitude), 'f16', pieces);
        const rows = await on.read(
          on.embedding(
            Int32Array.from({ length: outputs }, (_, i) => i),
            w,
          ),
        );
        const found = [[...rows]];
        for (const tokens of [1, 2, 7]) {
          const x = Float32Array.from({ length: tokens * inputs }, (_, i) => magnitude(((i * 29) % 31) / 8 - 2));
          found.push([...(await on.read(on.linear(on.upload(x, [tokens, inputs]), w, null)))]);
        }
        on.endStep();
        on.freeWeight(w);
        return found;
      };
      const [found, expected] = [await run(backend, Number), await run(exact, Number)];
      const bounds = await run(exact, Math.abs);
      expect(found[0]).toEqual(expected[0]);
      for (let i = 1; i < expected.length; i++) {
        expect(firstDifference(found[i]!, expected[i]!, bounds[i]!, 1e-6)).toBeUndefined();
      }
    }
    expect(backend.memory().weights).toBe(0);
    backend.dispose();
    exact.dispose();
  });
}
