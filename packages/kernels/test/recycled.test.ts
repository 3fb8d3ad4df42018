import { createWasmBackend } from '@mamba-ts/kernels';
import {
  type Backend,
  bytesOf,
  DTYPES,
  type DType,
  isQuantised,
  matrix,
  philoxRandom,
  randomBlocks,
} from '@mamba-ts/tensor';
import { expect, test } from 'vitest';

/** 13 outputs: the last panel is not full. */
const [OUTPUTS, INPUTS] = [13, 256];

function load(backend: Backend, dtype: DType): ReturnType<Backend['createWeight']> {
  const writer = backend.createWeight(matrix('w', [OUTPUTS, INPUTS]), dtype);
  const count = OUTPUTS * INPUTS;
  if (isQuantised(dtype)) {
    const random = philoxRandom(3);
    let next = 0;
    writer.write(randomBlocks(dtype, count / DTYPES[dtype].block, 0.1, () => random(next++)));
  } else writer.write(new Uint8Array(bytesOf(dtype, count)).map((_, i) => (i % 2 === 1 ? 0x3c : i)));
  return writer;
}

test.each(Object.keys(DTYPES) as DType[])(
  '%s: a matrix in memory that held another is the same to the bit',
  async (dtype) => {
    const backend = await createWasmBackend();
    const outcome = async (): Promise<Float32Array> => {
      const w = load(backend, dtype).finish();
      const x = backend.upload(
        Float32Array.from({ length: 3 * INPUTS }, (_, i) => Math.sin(i)),
        [3, INPUTS],
      );
      const y = await backend.read(backend.linear(x, w, null));
      backend.endStep();
      backend.freeWeight(w);
      return y;
    };
    const fresh = await outcome();
    expect(fresh.every(Number.isFinite)).toBe(true);
    // Leaves ones where the next matrices lie.
    for (const ones of ['f32', 'q8_0'] as const) {
      const writer = backend.createWeight(matrix('ones', [64, INPUTS]), ones);
      writer.write(new Uint8Array(bytesOf(ones, 64 * INPUTS)).fill(0x3f));
      backend.freeWeight(writer.finish());
    }
    expect(await outcome()).toEqual(fresh);
    backend.dispose();
  },
);
