import type { ConfigJson } from '@mamba-ts/layers';

/** Something that can be measured: an architecture at a size, with random weights, since speed does not depend on them. */
export interface Candidate {
  readonly name: string;
  /** One line that says what it is. */
  readonly what: string;
  /** A published size by name, or a config.json. */
  readonly shape: string | ConfigJson;
}

export interface Size {
  readonly key: string;
  readonly title: string;
  readonly note: string;
  readonly candidates: readonly Candidate[];
}

const VOCABULARY = 1024;

export const sizes: readonly Size[] = [
  {
    key: 'small',
    title: 'Small',
    note: 'About 3 million parameters each: a minute, on a phone too.',
    candidates: [
      {
        name: 'Mamba',
        what: 'selective scan, 2023',
        shape: { d_model: 256, n_layer: 6, vocab_size: VOCABULARY },
      },
      {
        name: 'Mamba-2',
        what: 'the scan as matrices, 2024',
        shape: { d_model: 256, n_layer: 6, vocab_size: VOCABULARY, ssm_cfg: { layer: 'Mamba2', d_state: 64 } },
      },
      {
        name: 'Transformer',
        what: 'attention, as in Pythia',
        shape: {
          model_type: 'gpt_neox',
          hidden_size: 256,
          num_hidden_layers: 3,
          num_attention_heads: 4,
          intermediate_size: 1024,
          rotary_pct: 0.25,
          max_position_embeddings: 32_768,
          use_parallel_residual: true,
          tie_word_embeddings: false,
          vocab_size: VOCABULARY,
        },
      },
    ],
  },
  {
    key: 'published',
    title: 'As published',
    note: 'About 150 million parameters each: some minutes, and 1.5 GB of memory.',
    candidates: [
      { name: 'mamba-130m', what: 'selective scan, 2023', shape: 'mamba-130m' },
      { name: 'mamba2-130m', what: 'the scan as matrices, 2024', shape: 'mamba2-130m' },
      { name: 'pythia-160m', what: 'a Transformer, 2023', shape: 'pythia-160m' },
    ],
  },
];

export const allLengths: readonly number[] = [128, 512, 2048, 8192, 32_768];
