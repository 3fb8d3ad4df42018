import type { GgufArchitecture, Mapped, Tensors } from './architecture.ts';
import type { ConfigFields } from './config-fields.ts';
import { type Fields, rowsOf } from './fields.ts';
import type { RowOrder } from './weights.ts';
import { bool, f32, type GgufField, string, u32 } from './write.ts';

/** What Transformers say alike. Layers that differ from one another are refused: their sizes are lists. */
function transformerConfig(f: Fields, tensors: Tensors): Record<string, unknown> {
  const vocabSize = rowsOf(tensors, 'token_embd.weight');
  const scaling = f.text('rope.scaling.type') ?? 'none';
  return {
    vocab_size: vocabSize,
    hidden_size: f.count('embedding_length'),
    num_hidden_layers: f.count('block_count'),
    num_attention_heads: f.count('attention.head_count'),
    intermediate_size: f.count('feed_forward_length'),
    max_position_embeddings: f.count('context_length'),
    rope_theta: f.number('rope.freq_base', 10000),
    ...(scaling === 'none' ? {} : { rope_scaling: { rope_type: scaling, factor: f.number('rope.scaling.factor') } }),
    tie_word_embeddings: !tensors.has('output.weight'),
    ...f.tokenIds(vocabSize),
  };
}

/** Columns of a head that turn. */
function turnedColumns(c: ConfigFields, headDim: number): number {
  const columns = Math.floor(headDim * c.object('rope_parameters').number('partial_rotary_factor'));
  if (columns % 2 === 0) return columns;
  return c.refuse('rope_parameters', 'such that an even number of columns turns', columns);
}

/** Scalings of rotary embedding that the metadata can say; `dynamic` changes nothing up to the context length. */
const SCALINGS = ['default', 'dynamic', 'linear'];

/** What Transformers write alike, for heads of `headDim` columns. */
function transformerMetadata(c: ConfigFields, headDim: number, scalings = SCALINGS): Record<string, GgufField> {
  const rope = c.object('rope_parameters');
  const linear = rope.only('rope_type', scalings) === 'linear';
  const columns = turnedColumns(c, headDim);
  return {
    vocab_size: u32(c.count('vocab_size')),
    context_length: u32(c.count('max_position_embeddings')),
    embedding_length: u32(c.count('hidden_size')),
    block_count: u32(c.count('num_hidden_layers')),
    feed_forward_length: u32(c.count('intermediate_size')),
    'attention.head_count': u32(c.count('num_attention_heads')),
    'rope.dimension_count': u32(columns),
    'rope.freq_base': f32(rope.number('rope_theta')),
    ...(linear ? { 'rope.scaling.type': string('linear'), 'rope.scaling.factor': f32(rope.number('factor')) } : {}),
  };
}

const headDimOf = (f: Fields): number => f.count('embedding_length') / f.count('attention.head_count');

export const gptneox: GgufArchitecture = {
  modelTypes: ['gpt_neox'],
  whole: {
    'token_embd.weight': 'gpt_neox.embed_in.weight',
    'output_norm.weight': 'gpt_neox.final_layer_norm.weight',
    'output_norm.bias': 'gpt_neox.final_layer_norm.bias',
    'output.weight': 'embed_out.weight',
  },
  layer(f) {
    const heads = f.count('attention.head_count');
    // All queries, then all keys, then all values in the file; here each head has its three side by side.
    const order: RowOrder = {
      rows: headDimOf(f),
      first: (block) => ((block % 3) * heads + Math.floor(block / 3)) * headDimOf(f),
    };
    const table: Record<string, string | Mapped> = {};
    for (const part of ['weight', 'bias']) {
      table[`attn_norm.${part}`] = `input_layernorm.${part}`;
      table[`ffn_norm.${part}`] = `post_attention_layernorm.${part}`;
      table[`attn_qkv.${part}`] = { name: `attention.query_key_value.${part}`, order };
      table[`attn_output.${part}`] = `attention.dense.${part}`;
      table[`ffn_up.${part}`] = `mlp.dense_h_to_4h.${part}`;
      table[`ffn_down.${part}`] = `mlp.dense_4h_to_h.${part}`;
    }
    return table;
  },
  layerPrefix: 'gpt_neox.layers.',
  config: (f, tensors) => ({
    ...transformerConfig(f, tensors),
    model_type: 'gpt_neox',
    layer_norm_eps: f.number('attention.layer_norm_epsilon'),
    rotary_pct: f.count('rope.dimension_count') / headDimOf(f),
    use_parallel_residual: f.flag('use_parallel_residual', true),
    attention_bias: tensors.has('blk.0.attn_qkv.bias'),
  }),
  metadata(c) {
    c.only('hidden_act', ['gelu']);
    return {
      ...transformerMetadata(c, c.count('hidden_size') / c.count('num_attention_heads')),
      use_parallel_residual: bool(c.flag('use_parallel_residual')),
      'attention.layer_norm_epsilon': f32(c.number('layer_norm_eps')),
    };
  },
};

/** What frequencies are divided by, one factor for each pair of columns: see ropeFrequencies in layers. */
function rotaryFactors(c: ConfigFields): Float32Array | null {
  const rope = c.object('rope_parameters');
  const columns = turnedColumns(c, c.count('head_dim'));
  const type = rope.text('rope_type');
  if (type === 'longrope') {
    const factors = rope.numbers('short_factor', columns / 2);
    rope.only('long_factor', [factors]);
    rope.only('attention_factor', [1]);
    return Float32Array.from(factors);
  }
  if (type !== 'llama3') return null;
  const [factor, low, high] = [rope.number('factor'), rope.number('low_freq_factor'), rope.number('high_freq_factor')];
  const original = 'original_max_position_embeddings';
  const context = rope.has(original) ? rope.count(original) : c.count('max_position_embeddings');
  const base = rope.number('rope_theta');
  return Float32Array.from({ length: columns / 2 }, (_, pair) => {
    const waves = (context * base ** ((-2 * pair) / columns)) / (2 * Math.PI);
    const kept = Math.min(Math.max((waves - low) / (high - low), 0), 1);
    return 1 / ((1 - kept) / factor + kept);
  });
}

/** Pairs of columns that turn together stand side by side in the file, half a head apart here. */
const turned = (name: string, width: number): Mapped => ({
  name,
  order: {
    rows: width,
    first: (head) => head * width,
    within: (row) => 2 * (row % (width / 2)) + (row < width / 2 ? 0 : 1),
  },
});

export const llama: GgufArchitecture = {
  modelTypes: ['llama'],
  whole: {
    'token_embd.weight': 'model.embed_tokens.weight',
    'output_norm.weight': 'model.norm.weight',
    'output.weight': 'lm_head.weight',
  },
  layer(f) {
    const width = f.count('attention.key_length', headDimOf(f));
    const table: Record<string, string | Mapped> = {
      'attn_norm.weight': 'input_layernorm.weight',
      'ffn_norm.weight': 'post_attention_layernorm.weight',
    };
    for (const part of ['weight', 'bias']) {
      table[`attn_q.${part}`] = turned(`self_attn.q_proj.${part}`, width);
      table[`attn_k.${part}`] = turned(`self_attn.k_proj.${part}`, width);
      table[`attn_v.${part}`] = `self_attn.v_proj.${part}`;
      table[`attn_output.${part}`] = `self_attn.o_proj.${part}`;
      for (const name of ['gate', 'up', 'down']) table[`ffn_${name}.${part}`] = `mlp.${name}_proj.${part}`;
    }
    return table;
  },
  layerPrefix: 'model.layers.',
  ropeFactors: 'rope_freqs.weight',
  factors: rotaryFactors,
  config: (f, tensors) => ({
    ...transformerConfig(f, tensors),
    model_type: 'llama',
    num_key_value_heads: f.count('attention.head_count_kv', f.count('attention.head_count')),
    head_dim: f.count('attention.key_length', headDimOf(f)),
    rms_norm_eps: f.number('attention.layer_norm_rms_epsilon'),
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_up.bias'),
  }),
  metadata(c) {
    const headDim = c.count('head_dim');
    return {
      ...transformerMetadata(c, headDim, [...SCALINGS, 'llama3', 'longrope']),
      'attention.head_count_kv': u32(c.count('num_key_value_heads')),
      'attention.key_length': u32(headDim),
      'attention.value_length': u32(headDim),
      'attention.layer_norm_rms_epsilon': f32(c.number('rms_norm_eps')),
    };
  },
};
