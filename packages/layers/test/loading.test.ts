import { findArchitecture, findPreset, loadLanguageModel, randomWeights, supportedModelTypes } from '@mamba-ts/layers';
import { isMambaError, type WeightSource } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { openFixture } from './checkpoint.ts';

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'no error';
  } catch (error) {
    return isMambaError(error) ? error.code : String(error);
  }
};

describe('a checkpoint', () => {
  test('of an unknown model_type is refused with a list of what is known', async () => {
    expect(await codeOf(() => findArchitecture({ model_type: 'bert' }))).toBe('MODEL_TYPE');
    expect(await codeOf(() => findArchitecture({ d_model: 8, ssm_cfg: { layer: 'Mamba9' } }))).toBe('MODEL_TYPE');
    expect(await codeOf(() => findArchitecture([]))).toBe('CONFIG');
    expect(supportedModelTypes()).toContain('mamba');
  });

  test.each([
    ['hidden_size', 0],
    ['hidden_size', 'wide'],
    ['num_hidden_layers', 1.5],
    ['state_size', -1],
    ['vocab_size', 2 ** 40],
    ['use_bias', 'no'],
    ['layer_norm_epsilon', Number.NaN],
    ['hidden_act', 'gelu'],
    ['eos_token_id', 1e9],
  ])('with %s = %s is refused', async (field, value) => {
    const { config } = await openFixture('plain');
    const architecture = await findArchitecture(config);
    expect(await codeOf(() => architecture.parseConfig({ ...config, [field]: value }))).toBe('CONFIG');
  });

  test('without a tensor, or with another shape, is refused before anything is loaded', async () => {
    const { config, weights } = await openFixture('plain');
    const architecture = await findArchitecture(config);
    const backend = createReferenceBackend();
    const name = 'backbone.layers.1.mixer.D';
    const missing = new Map(weights.entries);
    missing.delete(name);
    const misshapen = new Map(weights.entries);
    misshapen.set(name, { ...weights.entries.get(name)!, shape: [47] });
    const load = (entries: WeightSource['entries']) => () =>
      loadLanguageModel(architecture, config, { entries, read: weights.read }, backend);
    expect(await codeOf(load(missing))).toBe('MISSING_TENSOR');
    expect(await codeOf(load(misshapen))).toBe('TENSOR_SHAPE');
    expect(backend.memory().weights).toBe(0);
  });

  test('whose reading fails or is aborted half way leaves no weights behind', async () => {
    const { config, weights } = await openFixture('plain');
    const architecture = await findArchitecture(config);
    const backend = createReferenceBackend();
    let reads = 0;
    const failing: WeightSource = {
      entries: weights.entries,
      async *read(name, signal) {
        if (++reads === 9) throw new Error('the disk is gone');
        yield* weights.read(name, signal);
      },
    };
    await expect(loadLanguageModel(architecture, config, failing, backend)).rejects.toThrow('the disk is gone');
    expect(backend.memory().weights).toBe(0);
    const controller = new AbortController();
    const loading = loadLanguageModel(architecture, config, weights, backend, {
      signal: controller.signal,
      onProgress: (done, total) => done > total / 2 && controller.abort(new Error('enough')),
    });
    await expect(loading).rejects.toThrow('enough');
    expect(backend.memory().weights).toBe(0);
  });
});

test('the published 130m size has 129,135,360 parameters', async () => {
  const { architecture, config } = await findPreset('mamba-130m');
  const { parameters } = architecture.createModel(architecture.parseConfig(config));
  const { entries } = randomWeights(parameters, 'f16', 1);
  let count = 0;
  for (const { shape } of entries.values()) count += shape.reduce((product, axis) => product * axis, 1);
  expect(count).toBe(129_135_360);
  expect(await codeOf(() => findPreset('mamba-7b'))).toBe('PRESET');
});
