import type { Backend } from '../backend.ts';
import { decodeToF32 } from '../decode.ts';
import { DTYPES, type QuantisedDType } from '../dtype.ts';
import { randomBlocks } from '../random-blocks.ts';
import { matrix, type Weight } from '../weights.ts';
import { abs32, type OpCase, type Pad, padWords, poison, scoped } from './cases.ts';
import type { Random } from './random.ts';

/** The dtypes of blocks that every backend must take. */
export const QUANTISED: readonly QuantisedDType[] = ['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'];

/**
 * Backends may round activations to 14 bits, 32 to a scale: by at most 1 / 16,382 of the largest of the 32. The bound is
 * the sum of products with that largest one.
 */
export const QUANTISED_TOLERANCE = 6.5e-5;
const GROUP = 32;

/** The product with a matrix of random blocks `[outputs, inputs]`. */
export function quantisedLinearCase(
  random: Random,
  rows: number,
  blocks: number,
  outputs: number,
  dtype: QuantisedDType,
  bias: boolean,
  pad: Pad,
  poisoned = 0,
): OpCase {
  const inputs = blocks * DTYPES[dtype].block;
  const bytes = randomBlocks(dtype, blocks * outputs, 1, () => random.uniform(0, 1));
  const x = random.floats(rows * inputs);
  const b = bias ? random.floats(outputs) : null;
  poison(random, x, poisoned);
  const product = async (backend: Backend, xs: Float32Array, load: () => Weight, bs: Float32Array | null) =>
    scoped(backend, async (scope) => {
      const weight = scope.keep(load());
      const offsets = scope.vector('bias', [outputs], bs);
      return {
        y: await scope.read(backend.linear(scope.view(xs, rows, inputs, pad.left, pad.right), weight, offsets)),
      };
    });
  return {
    op: 'linear',
    label: `[${rows}, ${inputs}] x [${outputs}, ${inputs}] ${dtype}${bias ? ' + bias' : ''}${padWords(pad)}`,
    tolerance: QUANTISED_TOLERANCE,
    run: (backend) => product(backend, x, () => loadBlocks(backend, outputs, inputs, bytes, dtype), b),
    bounds: (exact) => {
      const magnitudes = abs32(decodeToF32(bytes, dtype));
      const load = (): Weight => loadBlocks(exact, outputs, inputs, new Uint8Array(magnitudes.buffer), 'f32');
      return product(exact, largest(x), load, b && abs32(b));
    },
  };
}

/** Rows of a matrix of random blocks, to the bit. */
export function quantisedEmbeddingCase(
  random: Random,
  tokens: number,
  vocabulary: number,
  blocks: number,
  dtype: QuantisedDType,
): OpCase {
  const channels = blocks * DTYPES[dtype].block;
  const bytes = randomBlocks(dtype, blocks * vocabulary, 1, () => random.uniform(0, 1));
  const ids = Int32Array.from({ length: tokens }, () => random.integer(0, vocabulary - 1));
  return {
    op: 'embedding',
    label: `${tokens} of [${vocabulary}, ${channels}] ${dtype}`,
    run: (backend) =>
      scoped(backend, async (scope) => {
        const weight = scope.keep(loadBlocks(backend, vocabulary, channels, bytes, dtype));
        return { y: await scope.read(backend.embedding(ids, weight)) };
      }),
    bounds: async () => ({}),
  };
}

/** Each type at the sizes where kernels go wrong: a row and many, one block and past what is rounded at once. */
export function* quantisedCases(random: Random, op: 'linear' | 'embedding'): Generator<OpCase> {
  for (const dtype of QUANTISED) {
    const long = 4096 / DTYPES[dtype].block + 1;
    for (const blocks of [1, 2, 5]) {
      for (const outputs of [1, 7, 8, 9, 33]) {
        if (op === 'embedding') yield quantisedEmbeddingCase(random, random.integer(0, 9), outputs, blocks, dtype);
        else {
          for (const rows of [1, random.integer(0, 9), 130]) {
            const pad = rows % 2 ? { left: 3, right: 2 } : { left: 0, right: 0 };
            yield quantisedLinearCase(
              random,
              rows,
              blocks,
              outputs,
              dtype,
              outputs % 2 === 1,
              pad,
              rows === 1 ? 0.3 : 0,
            );
          }
        }
      }
    }
    if (op === 'linear') yield quantisedLinearCase(random, 1, long, 9, dtype, true, { left: 0, right: 0 });
  }
}

/** In pieces that end inside rows. */
function loadBlocks(
  backend: Backend,
  outputs: number,
  inputs: number,
  bytes: Uint8Array,
  dtype: QuantisedDType | 'f32',
): Weight {
  const writer = backend.createWeight(matrix('w', [outputs, inputs]), dtype);
  const width = DTYPES[dtype].bytes;
  const step = Math.max(1, Math.ceil(bytes.length / width / 3)) * width;
  for (let at = 0; at < bytes.length; at += step) writer.write(bytes.subarray(at, Math.min(at + step, bytes.length)));
  return writer.finish();
}

/** In place of each value the largest magnitude of its group; rows are whole groups. */
function largest(x: Float32Array): Float32Array {
  const out = abs32(x);
  for (let at = 0; at < out.length; at += GROUP) {
    const group = out.subarray(at, at + GROUP);
    group.fill(group.reduce((most, value) => Math.max(most, value), 0));
  }
  return out;
}
