import { describe, expect, test } from 'vitest';
import { fuzz, verdict } from '../../../fuzz/fuzz.ts';
import { config } from '../../../fuzz/targets/config.ts';
import { truncate } from '../../../fuzz/truncate.ts';
import { findArchitecture } from '../src/index.ts';

const refusal = async (json: object): Promise<unknown> => {
  const architecture = await findArchitecture(json);
  try {
    architecture.createModel(architecture.parseConfig(json as Record<string, unknown>));
  } catch (error) {
    return (error as { code?: string }).code;
  }
  return 'accepted';
};

const ORIGINAL = { d_model: 64, n_layer: 2, vocab_size: 96 };
const HUGGING_FACE = { hidden_size: 64, num_hidden_layers: 2, vocab_size: 96 };
const BIG = 2 ** 24;

// More of them, in threads: node fuzz/run.ts config
describe('hostile config.json files', () => {
  test('2000 mutants over all architectures: typed errors only, every code occurs, sizes that a backend can take', async () => {
    const tally = await fuzz(config, 2026, 0, 2000);
    expect(verdict(config, tally)).toEqual([]);
  });

  test('cut at any length, each is refused', async () => {
    for (const file of config.seeds) expect((await truncate(config, file)).failures).toEqual([]);
  });

  test.each<[string, object]>([
    ['2^24 layers', { ...ORIGINAL, n_layer: BIG }],
    ['1025 layers', { ...HUGGING_FACE, model_type: 'mamba', num_hidden_layers: 1025 }],
    ['an expansion to nothing', { ...ORIGINAL, ssm_cfg: { expand: 1e-300 } }],
    ['an expansion beyond all sizes', { ...ORIGINAL, ssm_cfg: { expand: 1e300 } }],
    ['the same in transformers', { ...HUGGING_FACE, model_type: 'falcon_mamba', expand: 1e300 }],
    ['layers that multiply to a state of 2^49', { ...ORIGINAL, d_model: BIG / 2, ssm_cfg: { d_state: BIG } }],
    [
      'groups and states that multiply to more than 2^53 parameters',
      { ...ORIGINAL, d_model: BIG / 2, ssm_cfg: { layer: 'Mamba2', headdim: 1, ngroups: BIG, d_state: BIG } },
    ],
    [
      'a head of attention as wide as all sizes allow, with its rotary frequencies',
      { ...HUGGING_FACE, model_type: 'llama', intermediate_size: 64, num_attention_heads: 1, head_dim: BIG },
    ],
    ['2^24 layers of a Transformer', { ...HUGGING_FACE, model_type: 'llama', num_hidden_layers: BIG }],
  ])('%s: CONFIG, at once', async (_, json) => {
    const started = performance.now();
    expect(await refusal(json)).toBe('CONFIG');
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test('1024 layers are fine', async () => {
    expect(await refusal({ ...ORIGINAL, n_layer: 1024 })).toBe('accepted');
  });
});
