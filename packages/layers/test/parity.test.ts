import { createWasmBackend } from '@mamba-ts/kernels';
import type { LoadedLanguageModel, State } from '@mamba-ts/layers';
import type { Backend } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { expectedOf, FIXTURES, loadFixtureModel, maxDifference, REMAKE, spread, valuesOf } from './checkpoint.ts';

const backends: Readonly<Record<string, () => Promise<Backend>>> = {
  reference: async () => createReferenceBackend(),
  'wasm-simd': () => createWasmBackend({ build: 'simd' }),
  'wasm-relaxed': () => createWasmBackend({ build: 'relaxed' }),
  'wasm-simd on 2 threads': () => createWasmBackend({ build: 'simd', threads: 2, grain: 1 }),
  'wasm-relaxed on 2 threads': () => createWasmBackend({ build: 'relaxed', threads: 2, grain: 1 }),
};

/** One field of a state by name, without the columns that only the oracle keeps. */
async function field(model: LoadedLanguageModel, state: State, name: string): Promise<Float32Array> {
  const found = model.stateOwner.layout.fields.find((entry) => entry.name === name)!;
  const size = found.shape.reduce((product, axis) => product * axis, 1);
  return (await valuesOf(model, state)).subarray(found.offset, found.offset + size);
}

/** transformers keeps K inputs per channel, we keep K - 1: its first column goes. */
function withoutFirst(values: Float32Array, columns: number): Float32Array {
  return values.filter((_, i) => i % columns !== 0);
}

const channelsOf = (model: LoadedLanguageModel, name: string): number =>
  model.stateOwner.layout.fields.find((entry) => entry.name === name)!.shape[0]!;

/** Keys or values of one layer's cache, `[position, heads width]`. */
async function cached(
  model: LoadedLanguageModel,
  state: State,
  name: string,
  kind: 'keys' | 'values',
): Promise<Float32Array> {
  const { layout } = model.stateOwner;
  const { heads, width, offset } = layout.caches.find((entry) => entry.name === name)!;
  const start = offset + (kind === 'keys' ? 0 : heads * width);
  const rows = (await valuesOf(model, state)).subarray(layout.length);
  return rows.filter((_, i) => i % layout.rowLength >= start && i % layout.rowLength < start + heads * width);
}

async function feed(
  model: LoadedLanguageModel,
  ids: Int32Array,
  state: State,
  pieces: readonly number[],
): Promise<Float32Array> {
  const rows: Float32Array[] = [];
  let at = 0;
  for (const length of pieces) {
    rows.push(await model.forward(ids.subarray(at, at + length), state, 'all'));
    at += length;
  }
  expect(at).toBe(ids.length);
  const all = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let offset = 0;
  for (const row of rows) {
    all.set(row, offset);
    offset += row.length;
  }
  return all;
}

const pieceLists = (length: number): Record<string, number[]> => ({
  'step by step': Array.from({ length }, () => 1),
  'in pieces of 3': [...Array.from({ length: Math.floor(length / 3) }, () => 3), length % 3].filter((n) => n > 0),
  'as 1, 2, 4, the rest': [1, 2, 4, length - 7],
  'with empty pieces': [0, 17, 0, length - 17, 0],
});

describe.each(Object.keys(backends))('on %s', (name) => {
  describe.each(FIXTURES)('%s', (fixture) => {
    test('logits within 2e-4 of their range, states within 1e-4 of theirs', async () => {
      const backend = await backends[name]!();
      const model = await loadFixtureModel(fixture, backend);
      const expected = await expectedOf(fixture);
      const state = model.createState();
      const compare = async (logits: Float32Array, prefix: string): Promise<void> => {
        const oracle = await expected.values(`${prefix}logits`);
        expect(maxDifference(logits, oracle), REMAKE).toBeLessThanOrEqual(2e-4 * spread(oracle));
        for (const { name: named } of model.stateOwner.layout.fields) {
          const [, layer, kind] = named.split('.');
          const ours = await field(model, state, named);
          const theirs = await expected.values(`${prefix}${kind}.${layer}`);
          const kept = kind === 'conv' ? withoutFirst(theirs, theirs.length / channelsOf(model, named)) : theirs;
          expect(maxDifference(ours, kept), `${prefix}${named}`).toBeLessThanOrEqual(1e-4 * spread(kept));
        }
      };
      await compare(await model.forward(expected.ids, state, 'all'), '');
      await compare(await model.forward(expected.stepIds, state, 'all'), 'step_');
      for (const { name: named } of model.stateOwner.layout.caches) {
        for (const kind of ['keys', 'values'] as const) {
          const theirs = await expected.values(`step_${kind}.${named.split('.')[1]}`);
          const ours = await cached(model, state, named, kind);
          expect(maxDifference(ours, theirs), `${named}.${kind}`).toBeLessThanOrEqual(1e-4 * spread(theirs));
        }
      }
      backend.dispose();
    });

    test('any pieces equal the whole within 1e-5 of the range, final state included', async () => {
      const backend = await backends[name]!();
      const model = await loadFixtureModel(fixture, backend);
      const { ids } = await expectedOf(fixture);
      const wholeState = model.createState();
      const whole = await feed(model, ids, wholeState, [ids.length]);
      const wholeValues = await valuesOf(model, wholeState);
      for (const [title, pieces] of Object.entries(pieceLists(ids.length))) {
        const state = model.createState();
        const logits = await feed(model, ids, state, pieces);
        expect(maxDifference(logits, whole), title).toBeLessThanOrEqual(1e-5 * spread(whole));
        expect(maxDifference(await valuesOf(model, state), wholeValues), title).toBeLessThanOrEqual(
          1e-5 * spread(wholeValues),
        );
        expect(state.position).toBe(ids.length);
      }
      backend.dispose();
    });
  });
});
