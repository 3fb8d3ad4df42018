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
    await expect(findArchitecture({ d_model: 8, ssm_cfg: { layer: 'Mamba9' } })).rejects.toThrow(
      /ssm_cfg.layer "Mamba9"; supported: .*mamba, falcon_mamba, mamba2, mamba3/,
    );
    await expect(findArchitecture({ model_type: 'bert' })).rejects.toThrow(/model_type "bert"; supported: .*mamba/);
    expect(await codeOf(() => findArchitecture([]))).toBe('CONFIG');
    expect(supportedModelTypes()).toContain('mamba');
  });

  test.each([
    ['hidden_size', 0],
    ['hidden_size', 'wide'],
    ['num_hidden_layers', 1.5],
    ['num_hidden_layers', 2 ** 24],
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

  test.each([
    ['mamba2/groups', { num_heads: 11 }, /num_heads \* head_dim = 55, but expand \* hidden_size = 60/],
    ['mamba2/groups', { n_groups: 5 }, /12 is not divisible by n_groups = 5/],
    ['mamba2/groups', { time_step_limit: [0.1] }, /"time_step_limit" must be a list of two numbers/],
    ['mamba2/groups', { time_step_limit: [2, 1] }, /"time_step_limit" must be two numbers, 0 <= low <= high/],
    ['mamba2/original', { ssm_cfg: { layer: 'Mamba2', headdim: 7 } }, /48 wide, which ssm_cfg.headdim = 7 does not/],
    ['mamba2/original', { ssm_cfg: { layer: 'Mamba2', headdim: 4, ngroups: 5 } }, /12 heads are not divisible/],
    ['mamba2/original', { ssm_cfg: { layer: 'Mamba2', d_ssm: 96 } }, /d_ssm = 96 is more than expand/],
    ['mamba2/original', { attn_layer_idx: [1] }, /"attn_layer_idx" must be absent or \[\] \(no layers of attention\)/],
    ['mamba3/siso', { ssm_cfg: { layer: 'Mamba3', headdim: 7 } }, /40 is not divisible by ssm_cfg.headdim = 7/],
    [
      'mamba3/siso',
      { ssm_cfg: { layer: 'Mamba3', headdim: 8, ngroups: 2 } },
      /5 heads are not divisible by ssm_cfg.ngroups/,
    ],
    ['mamba3/siso', { ssm_cfg: { layer: 'Mamba3', headdim: 8, d_state: 3 } }, /d_state = 3 leaves no pair to turn/],
    ['mamba3/siso', { ssm_cfg: { layer: 'Mamba3', rope_fraction: 0.25 } }, /"rope_fraction" must be one of 0.5, 1/],
    [
      'mamba3/siso',
      { ssm_cfg: { layer: 'Mamba3', A_activation: 'relu' } },
      /"A_activation" must be one of "heavy_tail"/,
    ],
    ['mamba3/mimo', { ssm_cfg: { layer: 'Mamba3', headdim: 6, d_state: 9, is_mimo: true } }, /d_state = 9 is odd/],
    ['mamba/original', { ssm_cfg: { layer: 'Mamba2' } }, /"layer" must be one of "Mamba1", found "Mamba2"/],
    ['mamba/original', { rms_norm: false }, /"rms_norm" must be one of true, found false/],
    ['mamba/original', { d_intermediate: -1 }, /"d_intermediate" must be a whole number/],
    ['mamba/falcon', { mixer_rms_eps: 0 }, /"mixer_rms_eps" must be a positive number/],
  ])('%s with %o is refused in words', async (name, fields, message) => {
    const { config } = await openFixture(name);
    const architecture = await findArchitecture(config);
    expect(() => architecture.parseConfig({ ...config, ...fields })).toThrow(message);
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

test.each([
  ['mamba-130m', 129_135_360],
  ['falcon-mamba-7b', 7_272_665_088],
  ['mamba2-130m', 128_989_632],
  ['mamba2-2.7b', 2_702_599_680],
  ['mamba3-siso-187m', 186_849_600],
  ['mamba3-mimo-187m', 187_291_968],
  ['mamba3-mimo-1.5b', 1_497_082_880],
])('the published size %s has %i parameters', async (name, expected) => {
  const { architecture, config } = await findPreset(name);
  const { parameters } = architecture.createModel(architecture.parseConfig(config));
  const { entries } = randomWeights(parameters, 'f16', 1);
  let count = 0;
  for (const { shape } of entries.values()) count += shape.reduce((product, axis) => product * axis, 1);
  expect(count).toBe(expected);
});

test('an unknown size is refused', async () => {
  expect(await codeOf(() => findPreset('mamba-7b'))).toBe('PRESET');
});

describe('while a tensor is packed the next one is read', () => {
  /** The fixture's source, which tells what it does, and fails at `broken`. */
  async function told(
    broken?: string,
  ): Promise<{ config: Record<string, unknown>; source: WeightSource; log: string[] }> {
    const { config, weights } = await openFixture('plain');
    const log: string[] = [];
    const source: WeightSource = {
      entries: weights.entries,
      async *read(name, signal) {
        log.push(`start ${name}`);
        try {
          if (name === broken) throw new Error('broken');
          yield* weights.read(name, signal);
        } finally {
          log.push(`end ${name}`);
        }
      },
    };
    return { config, source, log };
  }

  test('one ahead and no more, each once, in the order of the file', async () => {
    const { config, source, log } = await told();
    await loadLanguageModel(await findArchitecture(config), config, source, createReferenceBackend());
    const names = [...source.entries.keys()];
    expect(log.filter((line) => line.startsWith('start'))).toEqual(names.map((name) => `start ${name}`));
    for (const [i, name] of names.entries()) {
      const at = log.indexOf(`end ${name}`);
      expect(log.slice(0, at).filter((line) => line.startsWith('start'))).toHaveLength(Math.min(i + 2, names.length));
    }
  });

  test.each([0, 1, 5])('a failure at tensor %d ends both reads, and the memory is free again', async (index) => {
    const names = [...(await told()).source.entries.keys()];
    const { config, source, log } = await told(names[index]);
    const backend = createReferenceBackend();
    const loading = loadLanguageModel(await findArchitecture(config), config, source, backend);
    await expect(loading).rejects.toThrow('broken');
    expect(backend.memory().weights).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(log.filter((line) => line.startsWith('end'))).toHaveLength(log.length / 2);
  });
});
