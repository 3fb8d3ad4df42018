import type { GgufArchitecture, Mapped, Table, Tensors } from './architecture.ts';
import type { ConfigFields } from './config-fields.ts';
import { type Fields, rowsOf } from './fields.ts';
import { bool, f32, type GgufField, u32 } from './write.ts';

/** `ssm_a` holds A = -exp(A_log) itself. */
const A: Mapped = { name: 'mixer.A_log', asUsed: true };

const MAMBA_WHOLE: Table = {
  'token_embd.weight': 'backbone.embeddings.weight',
  'output_norm.weight': 'backbone.norm_f.weight',
  'output.weight': 'lm_head.weight',
};

const MAMBA_LAYER: Table = {
  'attn_norm.weight': 'norm.weight',
  'ssm_in.weight': 'mixer.in_proj.weight',
  'ssm_conv1d.weight': 'mixer.conv1d.weight',
  'ssm_conv1d.bias': 'mixer.conv1d.bias',
  ssm_a: A,
  ssm_d: 'mixer.D',
  'ssm_out.weight': 'mixer.out_proj.weight',
};

/** What mamba and mamba2 say alike. */
function mambaConfig(f: Fields, tensors: Tensors): Record<string, unknown> {
  const vocabSize = rowsOf(tensors, 'token_embd.weight');
  return {
    vocab_size: vocabSize,
    hidden_size: f.count('embedding_length'),
    num_hidden_layers: f.count('block_count'),
    state_size: f.count('ssm.state_size'),
    conv_kernel: f.count('ssm.conv_kernel'),
    layer_norm_epsilon: f.number('attention.layer_norm_rms_epsilon'),
    use_bias: false,
    use_conv_bias: tensors.has('blk.0.ssm_conv1d.bias'),
    tie_word_embeddings: !tensors.has('output.weight'),
    ...f.tokenIds(vocabSize),
  };
}

/** What mamba and mamba2 write alike; nothing in a file says that a model has no context length. */
function mambaMetadata(c: ConfigFields, inner: number, ranks: number): Record<string, GgufField> {
  c.only('use_bias', [false]);
  return {
    vocab_size: u32(c.count('vocab_size')),
    context_length: u32(2 ** 20),
    embedding_length: u32(c.count('hidden_size')),
    block_count: u32(c.count('num_hidden_layers')),
    feed_forward_length: u32(0),
    'attention.head_count': u32(0),
    'attention.layer_norm_rms_epsilon': f32(c.number('layer_norm_epsilon')),
    'ssm.conv_kernel': u32(c.count('conv_kernel')),
    'ssm.inner_size': u32(inner),
    'ssm.state_size': u32(c.count('state_size')),
    'ssm.time_step_rank': u32(ranks),
  };
}

export const mamba: GgufArchitecture = {
  modelTypes: ['mamba', 'falcon_mamba'],
  whole: MAMBA_WHOLE,
  layer: () => ({
    ...MAMBA_LAYER,
    'ssm_x.weight': 'mixer.x_proj.weight',
    'ssm_dt.weight': 'mixer.dt_proj.weight',
    'ssm_dt.bias': 'mixer.dt_proj.bias',
  }),
  layerPrefix: 'backbone.layers.',
  config(f, tensors) {
    const common = mambaConfig(f, tensors);
    return {
      ...common,
      // FalconMamba: a norm on delta, B and C; its epsilon is not in the file, and 1e-6 in all that were published.
      model_type: f.flag('ssm.dt_b_c_rms', false) ? 'falcon_mamba' : 'mamba',
      intermediate_size: f.count('ssm.inner_size'),
      time_step_rank: f.count('ssm.time_step_rank'),
    };
  },
  metadata(c) {
    const falcon = c.text('model_type') === 'falcon_mamba';
    c.only('selective', [undefined, true]);
    if (falcon) c.only('mixer_rms_eps', [1e-6]);
    return {
      ...mambaMetadata(c, c.count('intermediate_size'), c.count('time_step_rank')),
      'ssm.dt_b_c_rms': bool(falcon),
    };
  },
};

export const mamba2: GgufArchitecture = {
  modelTypes: ['mamba2'],
  whole: MAMBA_WHOLE,
  layer(f) {
    const groups = f.count('ssm.group_count');
    const column = (heads: number): number[] => [heads, 1];
    return {
      ...MAMBA_LAYER,
      ssm_a: { ...A, axes: column },
      ssm_d: { name: 'mixer.D', axes: column },
      'ssm_dt.bias': 'mixer.dt_bias',
      'ssm_norm.weight': { name: 'mixer.norm.weight', axes: (width) => [groups, width / groups] },
    };
  },
  layerPrefix: 'backbone.layers.',
  config(f, tensors) {
    const common = mambaConfig(f, tensors);
    const inner = f.count('ssm.inner_size');
    const heads = f.count('ssm.time_step_rank');
    return {
      ...common,
      model_type: 'mamba2',
      // config.json has the ratio, from which the width is rounded down: half a channel more makes that exact.
      expand: (inner + 0.5) / (common.hidden_size as number),
      num_heads: heads,
      head_dim: inner / heads,
      n_groups: f.count('ssm.group_count'),
    };
  },
  metadata(c) {
    const heads = c.count('num_heads');
    c.only('time_step_limit', [[0, Number.POSITIVE_INFINITY]]);
    return {
      ...mambaMetadata(c, heads * c.count('head_dim'), heads),
      'ssm.group_count': u32(c.count('n_groups')),
    };
  },
};
