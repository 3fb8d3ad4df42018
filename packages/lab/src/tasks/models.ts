import type { ConfigJson } from '@mamba-ts/layers';

/** How large the models are that are set side by side. */
export interface TaskModelSize {
  /** Width of the residual stream. */
  readonly width: number;
  readonly layers: number;
}

const transformers = (vocab_size: number, { width, layers }: TaskModelSize): ConfigJson => ({
  vocab_size,
  hidden_size: width,
  num_hidden_layers: layers,
  tie_word_embeddings: true,
});

const mamba = (vocab_size: number, size: TaskModelSize): ConfigJson => ({
  ...transformers(vocab_size, size),
  model_type: 'mamba',
  state_size: 16,
});

/** A model's name; `lti` is Mamba-1 with constant delta, B and C. */
export type TaskModelName = 'lti' | 'mamba' | 'mamba2' | 'mamba3' | 'transformer';

/** The config.json of each model for a vocabulary: blocks of one width and depth. */
export const TASK_MODELS: Readonly<Record<TaskModelName, (vocabSize: number, size: TaskModelSize) => ConfigJson>> = {
  lti: (vocabSize, size) => ({ ...mamba(vocabSize, size), selective: false }),
  mamba,
  mamba2: (vocabSize, size) => ({
    ...transformers(vocabSize, size),
    model_type: 'mamba2',
    state_size: 32,
    head_dim: 16,
    num_heads: size.width / 8,
    n_groups: 1,
  }),
  mamba3: (vocab_size, { width, layers }) => ({
    d_model: width,
    n_layer: layers,
    d_intermediate: 0,
    vocab_size,
    ssm_cfg: { layer: 'Mamba3', headdim: 16, d_state: 32 },
    tie_embeddings: true,
  }),
  /** Llama: rotary positions, SwiGLU. Its context is as long as any test. */
  transformer: (vocabSize, size) => ({
    ...transformers(vocabSize, size),
    model_type: 'llama',
    num_attention_heads: 4,
    intermediate_size: 2 * size.width,
    max_position_embeddings: 2 ** 22,
  }),
};
