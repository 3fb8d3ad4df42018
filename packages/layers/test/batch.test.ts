import { createWasmBackend } from '@mamba-ts/kernels';
import type { LogitsWanted } from '@mamba-ts/layers';
import type { Backend } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { FIXTURES, loadFixtureModel, maxDifference, spread, valuesOf } from './checkpoint.ts';

const backends: Readonly<Record<string, () => Promise<Backend>>> = {
  reference: async () => createReferenceBackend(),
  'wasm-simd': () => createWasmBackend({ build: 'simd' }),
  'wasm-relaxed': () => createWasmBackend({ build: 'relaxed' }),
};

/** A sequence as it stands before a batch: read so far, to be read now. Depth 0 with many new ids is a prefill. */
interface Plan {
  readonly depth: number;
  readonly length: number;
  readonly logits: LogitsWanted;
}

// 0, 1 and 2 ids; around the convolution's 4 taps; around the 32 tokens of a tile of the scan; a chunk of Mamba-2.
const LENGTHS = [0, 1, 2, 3, 4, 5, 7, 13, 31, 32, 33, 65];
const WANTED: readonly LogitsWanted[] = ['last', 'all', 'none'];

const plans: Readonly<Record<string, readonly Plan[]>> = {
  'prefill of every length': LENGTHS.map((length, i) => ({ depth: 0, length, logits: WANTED[i % 3]! })),
  'decode at every depth': LENGTHS.map((depth) => ({ depth, length: 1, logits: 'last' })),
  'prefill and decode mixed, longest last': [
    { depth: 33, length: 1, logits: 'last' },
    { depth: 0, length: 7, logits: 'all' },
    { depth: 5, length: 0, logits: 'last' },
    { depth: 1, length: 1, logits: 'none' },
    { depth: 0, length: 1, logits: 'last' },
    { depth: 2, length: 65, logits: 'all' },
  ],
  'one sequence': [{ depth: 3, length: 5, logits: 'all' }],
  'nothing but empty ones': [
    { depth: 0, length: 0, logits: 'all' },
    { depth: 4, length: 0, logits: 'last' },
  ],
  'no sequence': [],
};

describe.each(Object.keys(backends))('on %s', (name) => {
  test.each(FIXTURES)('%s: a ragged batch equals each sequence alone within 1e-5 of the range', async (fixture) => {
    const backend = await backends[name]!();
    const model = await loadFixtureModel(fixture, backend);
    const level = backend.memory().state;
    for (const [title, sequences] of Object.entries(plans)) {
      const idsOf = (sequence: number, from: number, count: number): Int32Array =>
        Int32Array.from({ length: count }, (_, i) => (((from + i) * 31 + sequence * 17) % 89) % model.vocabSize);
      const batch = [];
      const alone = [];
      for (const [i, { depth, length, logits }] of sequences.entries()) {
        const state = model.createState();
        if (depth > 0) await model.forward(idsOf(i, 0, depth), state, 'none');
        const copy = state.clone();
        const ids = idsOf(i, depth, length);
        batch.push({ ids, state, logits });
        alone.push({ state: copy, logits: await model.forward(ids, copy, logits) });
      }
      const together = await model.forwardBatch(batch);
      expect(together.length).toBe(sequences.length);
      for (const [i, logits] of together.entries()) {
        const expected = alone[i]!;
        expect(maxDifference(logits, expected.logits), `${title}, sequence ${i}`).toBeLessThanOrEqual(
          1e-5 * Math.max(0, spread(expected.logits)),
        );
        expect(batch[i]!.state.position).toBe(expected.state.position);
        const state = await valuesOf(model, expected.state);
        expect(
          maxDifference(await valuesOf(model, batch[i]!.state), state),
          `${title}, state ${i}`,
        ).toBeLessThanOrEqual(1e-5 * Math.max(0, spread(state)));
        batch[i]!.state.dispose();
        expected.state.dispose();
      }
    }
    expect(backend.memory().state).toBe(level);
    backend.dispose();
  });

  test('a batch in another order gives the same logits within 1e-5 of the range', async () => {
    const backend = await backends[name]!();
    const model = await loadFixtureModel('mamba/plain', backend);
    const ids = (n: number, length: number): Int32Array => Int32Array.from({ length }, (_, i) => (7 * n + i) % 50);
    const lengths = [13, 0, 1, 33, 2];
    const run = async (order: readonly number[]): Promise<Float32Array[]> => {
      const results = await model.forwardBatch(
        order.map((n) => ({ ids: ids(n, lengths[n]!), state: model.createState(), logits: 'all' as const })),
      );
      return lengths.map((_, n) => results[order.indexOf(n)]!);
    };
    const [one, other] = [await run([0, 1, 2, 3, 4]), await run([3, 4, 1, 0, 2])];
    for (const [n, logits] of one.entries()) {
      expect(maxDifference(logits, other[n]!)).toBeLessThanOrEqual(1e-5 * Math.max(0, spread(logits)));
    }
    backend.dispose();
  });
});

test('a full chunk of many sequences fits; one id more is refused before any state moves', async () => {
  const backend = await createWasmBackend();
  const model = await loadFixtureModel('mamba/plain', backend);
  const sequences = Array.from({ length: 64 }, () => ({
    ids: new Int32Array(model.maxChunk / 64).fill(1),
    state: model.createState(),
    logits: 'last' as const,
  }));
  const results = await model.forwardBatch(sequences);
  for (const logits of results) expect(logits).toEqual(results[0]);
  const one = { ids: Int32Array.of(1), state: model.createState(), logits: 'last' as const };
  await expect(model.forwardBatch([...sequences, one])).rejects.toMatchObject({ code: 'CHUNK' });
  expect(one.state.position).toBe(0);
  expect(sequences[0]!.state.position).toBe(model.maxChunk / 64);
  backend.dispose();
});
