import { isMambaError } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { type ConfigJson, findArchitecture } from '../src/index.ts';
import { FIXTURES, openFixture } from './checkpoint.ts';

const WITHOUT = ['mamba/original-mlp', 'mamba2/original-mlp', 'mamba2/original-no-norm'];
const WITH = FIXTURES.filter((name) => !name.startsWith('mamba3/') && !WITHOUT.includes(name));

describe('config.json in the Hugging Face layout', () => {
  test.each(WITH)('%s: means the same, and nothing is left to defaults', async (name) => {
    const { config } = await openFixture(name);
    const architecture = await findArchitecture(config);
    const written = architecture.huggingFaceConfig!(config);
    const { paddedVocabSize, ...rest } = architecture.parseConfig(config) as { paddedVocabSize: number };
    // That layout does not tell the padding of the embedding from the vocabulary.
    expect(architecture.parseConfig(written)).toEqual({ ...rest, paddedVocabSize, vocabSize: paddedVocabSize });
    expect((await findArchitecture(written)).modelTypes).toEqual(architecture.modelTypes);
    expect(architecture.huggingFaceConfig!(written)).toEqual(written);
    expect(Object.keys(written)).not.toContain('d_model');
  });

  test.each(WITHOUT)('%s: that layout has no words for it', async (name) => {
    const { config } = await openFixture(name);
    const { huggingFaceConfig } = await findArchitecture(config);
    expect(codeOf(() => huggingFaceConfig!(config))).toBe('CONFIG');
  });

  test('a width that `expand` does not give exactly, end tokens and an older rope', async () => {
    const mamba: ConfigJson = {
      model_type: 'mamba',
      hidden_size: 49,
      intermediate_size: 61,
      num_hidden_layers: 1,
      vocab_size: 9,
      eos_token_id: [3, 4],
      bos_token_id: 5,
    };
    const { huggingFaceConfig } = await findArchitecture(mamba);
    const written = huggingFaceConfig!(mamba);
    expect(Math.floor((written.expand as number) * 49)).toBe(61);
    expect([written.eos_token_id, written.bos_token_id]).toEqual([[3, 4], 5]);
    const neox: ConfigJson = {
      model_type: 'gpt_neox',
      vocab_size: 9,
      hidden_size: 32,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      intermediate_size: 64,
      rotary_emb_base: 5000,
      rotary_pct: 0.5,
      rope_scaling: { type: 'linear', factor: 2 },
    };
    expect((await findArchitecture(neox)).huggingFaceConfig!(neox)).toMatchObject({
      rope_parameters: { rope_type: 'linear', factor: 2, rope_theta: 5000, partial_rotary_factor: 0.5 },
      rope_theta: 5000,
      rotary_pct: 0.5,
    });
  });
});

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (isMambaError(error)) return error.code;
    throw error;
  }
  return 'no error';
}
