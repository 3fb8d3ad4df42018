import { createWasmBackend } from '@mamba-ts/kernels';
import {
  type ConfigJson,
  findArchitecture,
  findPreset,
  type LoadedLanguageModel,
  listParameters,
  loadLanguageModel,
} from '@mamba-ts/layers';
import { type Backend, isMambaError, MambaError } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { ropeFrequencies } from '../src/rope.ts';
import { loadFixtureModel, maxDifference, openFixture, spread, valuesOf } from './checkpoint.ts';

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'no error';
  } catch (error) {
    return isMambaError(error) ? error.code : String(error);
  }
};

/** A fixture's model with other words in its config.json. */
async function changed(name: string, backend: Backend, change: ConfigJson): Promise<LoadedLanguageModel> {
  const { config, weights } = await openFixture(name);
  return loadLanguageModel(await findArchitecture(config), { ...config, ...change }, weights, backend);
}

const ids = (length: number): Int32Array => Int32Array.from({ length }, (_, i) => (i * i + 7 * i) % 50);

const LONG = {
  rope_type: 'longrope',
  attention_factor: 1,
  short_factor: [1, 2, 3, 4, 5],
  long_factor: [1, 2, 3, 4, 5],
};

describe('a text over several pages of the cache', () => {
  test.each(['gpt_neox/serial', 'llama/grouped'])(
    '%s: in any pieces as on the reference in one, within 1e-5 of the range',
    async (name) => {
      const exact = createReferenceBackend();
      const reference = await loadFixtureModel(name, exact);
      const state = reference.createState();
      const expected = await reference.forward(ids(150), state, 'all');
      const rows = await valuesOf(reference, state);
      for (const build of ['simd', 'relaxed'] as const) {
        const backend = await createWasmBackend({ build });
        const model = await loadFixtureModel(name, backend);
        for (const pieces of [[150], [63, 1, 1, 64, 21], [1, 127, 22]]) {
          const own = model.createState();
          const logits: number[] = [];
          let at = 0;
          for (const length of pieces) {
            logits.push(...(await model.forward(ids(150).subarray(at, at + length), own, 'all')));
            at += length;
          }
          expect(maxDifference(logits, expected), pieces.join(' ')).toBeLessThanOrEqual(1e-5 * spread(expected));
          expect(maxDifference(await valuesOf(model, own), rows)).toBeLessThanOrEqual(1e-5 * spread(rows));
        }
        backend.dispose();
      }
    },
  );
});

describe('the cache as a value', () => {
  test('grows in pages and says so; a saved one holds the rows in use; all memory comes back', async () => {
    const backend = await createWasmBackend();
    const model = await loadFixtureModel('llama/grouped', backend);
    const { stateBytes, stateBytesPerToken } = model.summary();
    expect([stateBytes, stateBytesPerToken]).toEqual([0, 4 * 2 * (2 * 2 * 10)]);
    const level = backend.memory().state;
    const state = model.createState();
    expect(state.byteLength).toBe(0);
    const sizes: number[] = [];
    for (const length of [1, 63, 1]) {
      await model.forward(ids(length), state, 'none');
      expect(state.byteLength).toBe(backend.memory().state - level);
      expect(state.byteLength).toBeGreaterThanOrEqual(state.position * stateBytesPerToken);
      sizes.push(state.byteLength);
    }
    expect(sizes[1]).toBe(sizes[0]);
    expect(sizes[2]).toBe(2 * sizes[0]!);
    const saved = await state.save();
    expect(saved.length - 65 * stateBytesPerToken).toBeLessThan(1000);
    const copies = [state.clone(), model.loadState(saved)];
    for (const copy of copies) {
      expect(copy.byteLength).toBe(state.byteLength);
      expect(copy.position).toBe(65);
    }
    const next = await model.forward(ids(3), state, 'last');
    for (const copy of copies) expect(await model.forward(ids(3), copy, 'last')).toEqual(next);
    for (const one of [state, ...copies]) one.dispose();
    expect(backend.memory().state).toBe(level);
    backend.dispose();
  });

  test('of other weights, another shape or cut anywhere is refused', async () => {
    const backend = await createWasmBackend();
    const model = await loadFixtureModel('llama/one-key', backend);
    const other = await loadFixtureModel('llama/grouped', backend);
    const state = model.createState();
    await model.forward(ids(2), state, 'none');
    const saved = await state.save();
    expect(await codeOf(() => other.loadState(saved))).toBe('STATE_MODEL');
    const level = backend.memory().state;
    for (let i = 0; i < saved.length; i++) {
      expect(await codeOf(() => model.loadState(saved.subarray(0, i)))).toBe('STATE_FORMAT');
      const bad = saved.slice();
      bad[i] = bad[i]! ^ (1 << (i % 8));
      expect(['STATE_FORMAT', 'STATE_VERSION']).toContain(await codeOf(() => model.loadState(bad)));
    }
    expect(backend.memory().state).toBe(level);
    backend.dispose();
  });

  test('where rows do not fit, or a pass fails half way, the state goes on as it was', async () => {
    const real = createReferenceBackend();
    let failing: 'reserve' | 'attention' | null = null;
    const backend: Backend = {
      ...real,
      reserveRows(slot, rows) {
        if (failing === 'reserve') throw new MambaError('OUT_OF_MEMORY', 'for this test');
        real.reserveRows(slot, rows);
      },
      attention(...all) {
        const y = real.attention(...all);
        if (failing === 'attention') throw new MambaError('OUT_OF_MEMORY', 'for this test');
        return y;
      },
    };
    const model = await loadFixtureModel('gpt_neox/plain', backend);
    const [state, untouched] = [model.createState(), model.createState()];
    for (const one of [state, untouched]) await model.forward(ids(5), one, 'none');
    for (const kind of ['reserve', 'attention'] as const) {
      failing = kind;
      expect(await codeOf(() => model.forward(ids(4), state, 'last'))).toBe('OUT_OF_MEMORY');
      expect(state.position).toBe(5);
    }
    failing = null;
    expect(await model.forward(ids(3), state, 'all')).toEqual(await model.forward(ids(3), untouched, 'all'));
    real.dispose();
  });
});

test('a text past max_position_embeddings throws CONTEXT_LENGTH and leaves the state alone', async () => {
  const backend = await createWasmBackend();
  const model = await changed('gpt_neox/plain', backend, { max_position_embeddings: 12 });
  expect(model.contextLength).toBe(12);
  const state = model.createState();
  expect(await codeOf(() => model.forward(ids(13), state, 'last'))).toBe('CONTEXT_LENGTH');
  await model.forward(ids(11), state, 'none');
  const before = await state.save();
  expect(await codeOf(() => model.forward(ids(2), state, 'last'))).toBe('CONTEXT_LENGTH');
  expect(await state.save()).toEqual(before);
  expect(await codeOf(() => model.forward(ids(1), state, 'last'))).toBe('no error');
  expect(await codeOf(() => model.forward(ids(1), state, 'last'))).toBe('CONTEXT_LENGTH');
  backend.dispose();
});

describe('config.json', () => {
  test('of heads that do not divide, unknown scalings and activations is refused', async () => {
    const cases: [name: string, change: ConfigJson][] = [
      ['llama/plain', { num_attention_heads: 4 }],
      ['llama/grouped', { num_key_value_heads: 4 }],
      ['llama/plain', { hidden_act: 'gelu' }],
      ['gpt_neox/plain', { hidden_act: 'relu' }],
      ['llama/plain', { rope_parameters: { rope_type: 'yarn', factor: 2 } }],
      ['llama/plain', { rope_parameters: { rope_type: 'longrope', attention_factor: 1 } }],
      ['llama/plain', { rope_parameters: { ...LONG, long_factor: [1, 2, 3, 4, 6] } }],
      ['llama/plain', { rope_parameters: { ...LONG, long_factor: [1, 2, 3, 4], short_factor: [1, 2, 3, 4] } }],
      ['llama/plain', { rope_parameters: { ...LONG, long_factor: [1, 2, 3, 4, 0], short_factor: [1, 2, 3, 4, 0] } }],
      ['llama/plain', { rope_parameters: { ...LONG, attention_factor: 1.2 } }],
      ['llama/plain', { rope_parameters: { rope_type: 'linear' } }],
      ['llama/plain', { rope_parameters: { rope_type: 'llama3', factor: 2, low_freq_factor: 4, high_freq_factor: 1 } }],
      ['gpt_neox/serial', { rotary_pct: 1 }],
    ];
    const backend = createReferenceBackend();
    for (const [name, change] of cases) {
      expect(await codeOf(() => changed(name, backend, change)), JSON.stringify(change)).toBe('CONFIG');
    }
    expect(backend.memory().weights).toBe(0);
  });

  test('says the same in the words of transformers 5 and of those before it', () => {
    const scaling = { factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
    const now = ropeFrequencies({ rope_parameters: { rope_type: 'llama3', rope_theta: 500, ...scaling } }, 16, 1);
    const before = ropeFrequencies({ rope_theta: 500, rope_scaling: { type: 'llama3', ...scaling } }, 16, 1);
    expect(before).toEqual(now);
    expect(ropeFrequencies({ rotary_pct: 0.25, rotary_emb_base: 100 }, 16, 1)).toEqual(
      ropeFrequencies({ rope_parameters: { partial_rotary_factor: 0.25, rope_theta: 100 } }, 16, 1),
    );
  });
});

// As transformers counts them.
test.each([
  ['pythia-70m', 70_426_624],
  ['pythia-160m', 162_322_944],
  ['pythia-410m', 405_334_016],
  ['pythia-1b', 1_011_781_632],
  ['pythia-1.4b', 1_414_647_808],
  ['pythia-2.8b', 2_775_208_960],
  ['smollm-135m', 134_515_008],
  ['tinyllama-1.1b', 1_100_048_384],
])('the published %s has %i parameters', async (name, expected) => {
  const { architecture, config } = await findPreset(name);
  const { parameters } = architecture.createModel(architecture.parseConfig(config));
  const count = listParameters(parameters).reduce((sum, { shape }) => sum + shape.reduce((p, axis) => p * axis, 1), 0);
  expect(count).toBe(expected);
});

test('the operations of attention grow with the square of the length, and are those of its formula', async () => {
  const model = await loadFixtureModel('llama/grouped', createReferenceBackend());
  // Per layer, 6 heads over 2 of width 10, 5 turned pairs, an MLP of 37: pairs, turns, divisions, gate.
  const sequence = (n: number): number => 2 * (((n * (n + 1)) / 2) * 6 * 44 + n * 6 * 8 * 5 + n * 60 + 5 * n * 37);
  const { flopsPerToken, flopsHead } = model.summary();
  for (const n of [1, 2, 1000]) expect(model.operations(n)).toBe(n * flopsPerToken + flopsHead + sequence(n));
});
