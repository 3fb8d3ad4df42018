import type { ConfigJson } from '@mamba-ts/layers';

export type ModelKey = 'mamba' | 'mamba2' | 'gpt_neox';
export type SizeKey = 'tiny' | 'small';

interface Choice<Key> {
  readonly key: Key;
  readonly title: string;
  /** One line that says what it is. */
  readonly note: string;
}

export const models: readonly Choice<ModelKey>[] = [
  { key: 'mamba', title: 'Mamba', note: 'selective scan, 2023' },
  { key: 'mamba2', title: 'Mamba-2', note: 'the scan as matrices, 2024' },
  { key: 'gpt_neox', title: 'Transformer', note: 'attention, as in Pythia' },
];

export const sizes: readonly Choice<SizeKey>[] = [
  { key: 'tiny', title: 'Tiny', note: 'About 100,000 parameters: words within seconds.' },
  { key: 'small', title: 'Small', note: 'About 500,000 parameters: learns more, and takes its time.' },
];

/** Tokens of the vocabulary at most: one for the end of a text, 256 bytes, and pieces of words. */
export const VOCABULARY = 512;

/** Sequences and tokens of each in one step. */
export const batches: Readonly<Record<SizeKey, { readonly sequences: number; readonly length: number }>> = {
  tiny: { sequences: 4, length: 64 },
  small: { sequences: 4, length: 128 },
};

/** A config.json but for the vocabulary. The models of one size have about as many parameters. */
export function shapeOf(model: ModelKey, size: SizeKey): ConfigJson {
  const [width, layers] = size === 'tiny' ? [64, 2] : [128, 4];
  const shared = { model_type: model, hidden_size: width, tie_word_embeddings: true };
  const scan = { num_hidden_layers: layers, conv_kernel: 4, expand: 2 };
  if (model === 'mamba') return { ...shared, ...scan, architectures: ['MambaForCausalLM'], state_size: 16 };
  if (model === 'mamba2') {
    const heads = { head_dim: 32, num_heads: (2 * width) / 32, n_groups: 1 };
    return { ...shared, ...scan, ...heads, architectures: ['Mamba2ForCausalLM'], state_size: 32 };
  }
  return {
    ...shared,
    architectures: ['GPTNeoXForCausalLM'],
    num_hidden_layers: size === 'tiny' ? 2 : 3,
    num_attention_heads: 4,
    intermediate_size: 2 * width,
    max_position_embeddings: 2048,
    rotary_pct: 0.25,
  };
}
