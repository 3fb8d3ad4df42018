import { createWasmBackend } from '@mamba-ts/kernels';
import { type Backend, isMambaError } from '@mamba-ts/tensor';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findPreset, loadLanguageModel, randomWeights } from '../src/index.ts';
import { expectedOf, loadFixtureModel, maxDifference, spread } from './checkpoint.ts';

let backend: Backend;
beforeEach(async () => {
  backend = await createWasmBackend();
});
afterEach(() => backend.dispose());

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'no error';
  } catch (error) {
    return isMambaError(error) ? error.code : String(error);
  }
};

describe('a state', () => {
  test('saved and loaded goes on with the same bits', async () => {
    const model = await loadFixtureModel('plain', backend);
    const { ids, stepIds } = await expectedOf('plain');
    const state = model.createState();
    await model.forward(ids, state, 'none');
    const loaded = model.loadState(await state.save());
    expect(loaded.position).toBe(ids.length);
    expect(await model.forward(stepIds, loaded, 'last')).toEqual(await model.forward(stepIds, state, 'last'));
  });

  test('cloned is independent of its origin', async () => {
    const model = await loadFixtureModel('plain', backend);
    const { ids, stepIds } = await expectedOf('plain');
    const state = model.createState();
    await model.forward(ids, state, 'none');
    const before = await state.save();
    const copy = state.clone();
    await model.forward(stepIds, copy, 'none');
    expect(await state.save()).toEqual(before);
    expect(await copy.save()).not.toEqual(before);
  });

  test('has one size at any depth, and gives its memory back', async () => {
    const model = await loadFixtureModel('plain', backend);
    const { ids } = await expectedOf('plain');
    const level = backend.memory().state;
    const state = model.createState();
    const size = (await state.save()).length;
    for (let i = 0; i < 5; i++) await model.forward(ids, state, 'none');
    // The position's digits are the only thing that grows.
    expect((await state.save()).length - size).toBe(String(5 * ids.length).length - 1);
    expect(backend.memory().state - level).toBe(state.byteLength);
    state.dispose();
    expect(backend.memory().state).toBe(level);
    expect(await codeOf(() => state.clone())).toBe('DISPOSED');
  });

  test('of another model, or of the same sizes with other weights, is refused', async () => {
    const model = await loadFixtureModel('plain', backend);
    const other = await loadFixtureModel('state-15', backend);
    const bytes = await model.createState().save();
    expect(await codeOf(() => other.loadState(bytes))).toBe('STATE_MODEL');
    expect(await codeOf(() => other.forward(Int32Array.of(1), model.createState(), 'last'))).toBe('STATE_MODEL');
    const { architecture, config } = await findPreset('mamba-130m');
    const small = { ...config, d_model: 16, n_layer: 1, vocab_size: 24 };
    const { parameters } = architecture.createModel(architecture.parseConfig(small));
    const [first, same, trained] = await Promise.all(
      [1, 1, 2].map((seed) => loadLanguageModel(architecture, small, randomWeights(parameters, 'f32', seed), backend)),
    );
    const saved = await first!.createState().save();
    expect(await codeOf(() => same!.loadState(saved))).toBe('no error');
    expect(await codeOf(() => trained!.loadState(saved))).toBe('STATE_MODEL');
  });

  test('mangled at any byte or cut anywhere is refused', async () => {
    const model = await loadFixtureModel('state-1', backend);
    const bytes = await model.createState().save();
    const codes = ['STATE_FORMAT', 'STATE_VERSION'];
    for (let i = 0; i < bytes.length; i++) {
      const bad = bytes.slice();
      bad[i] = bad[i]! ^ (1 << (i % 8));
      expect(codes, `byte ${i}`).toContain(await codeOf(() => model.loadState(bad)));
      expect(await codeOf(() => model.loadState(bytes.subarray(0, i)))).toBe('STATE_FORMAT');
    }
  });
});

describe('a batch', () => {
  test('of ragged sequences equals each alone within 1e-5 of the range', async () => {
    const model = await loadFixtureModel('plain', backend);
    const { ids } = await expectedOf('plain');
    const lengths = [1, 7, 0, 13];
    const alone = [];
    for (const length of lengths) alone.push(await model.forward(ids.subarray(0, length), model.createState(), 'all'));
    const together = await model.forwardBatch(
      lengths.map((length) => ({ ids: ids.subarray(0, length), state: model.createState(), logits: 'all' })),
    );
    for (const [i, logits] of together.entries()) {
      expect(maxDifference(logits, alone[i]!)).toBeLessThanOrEqual(1e-5 * Math.max(0, spread(alone[i]!)));
    }
  });

  test('refuses ids outside the vocabulary and leaves the state alone; and one state twice', async () => {
    const model = await loadFixtureModel('original', backend);
    const state = model.createState();
    const before = await state.save();
    // 97 is a padded row: it exists in the file, not in the vocabulary.
    expect(await codeOf(() => model.forward(Int32Array.of(1, 97), state, 'last'))).toBe('TOKEN_ID');
    expect(await codeOf(() => model.forward(Int32Array.of(-1), state, 'last'))).toBe('TOKEN_ID');
    expect(await state.save()).toEqual(before);
    const one = { ids: Int32Array.of(1), state, logits: 'last' } as const;
    expect(await codeOf(() => model.forwardBatch([one, one]))).toBe('STATE_SHARED');
    expect(await codeOf(() => model.forward(new Int32Array(model.maxChunk + 1), state, 'last'))).toBe('CHUNK');
  });
});
