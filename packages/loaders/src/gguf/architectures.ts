import { MambaError } from '@mamba-ts/tensor';
import { shownName } from '../safetensors/header.ts';
import type { Fields } from './fields.ts';
import type { GgufTensor } from './header.ts';
import type { Placement, RowOrder } from './weights.ts';

/** A checkpoint in the terms of the Hugging Face layout. */
export interface GgufModel {
  /** As config.json would say it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Throws `GGUF_TENSOR` for one that the architecture does not have: the model would compute something else. */
  place(tensor: GgufTensor): Placement;
}

type Tensors = ReadonlyMap<string, GgufTensor>;

/** Where a tensor goes: a name, `#` for the layer, or what makes a placement of that name. */
type Table = Readonly<Record<string, string | ((tensor: GgufTensor) => Placement)>>;

/** One general.architecture: names as in llama.cpp's llama-arch.cpp, orders as in its convert_hf_to_gguf.py. */
interface GgufArchitecture {
  readonly whole: Table;
  /** Of each layer, behind `blk.N.`. */
  layer(fields: Fields): Table;
  readonly layerPrefix: string;
  config(fields: Fields, tensors: Tensors): Record<string, unknown>;
}

/** `ssm_a` holds A = -exp(A_log) itself. */
const A: Table[string] = () => ({ name: 'mixer.A_log', asUsed: true });

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

const mamba: GgufArchitecture = {
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
};

const mamba2: GgufArchitecture = {
  whole: MAMBA_WHOLE,
  layer: () => ({
    ...MAMBA_LAYER,
    'ssm_dt.bias': 'mixer.dt_bias',
    // [groups, width / groups] in the file.
    'ssm_norm.weight': ({ shape }) => ({ name: 'mixer.norm.weight', shape: [shape.reduce((a, b) => a * b, 1)] }),
  }),
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
};

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

const headDimOf = (f: Fields): number => f.count('embedding_length') / f.count('attention.head_count');

const gptneox: GgufArchitecture = {
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
    const table: Record<string, Table[string]> = {};
    for (const part of ['weight', 'bias']) {
      table[`attn_norm.${part}`] = `input_layernorm.${part}`;
      table[`ffn_norm.${part}`] = `post_attention_layernorm.${part}`;
      table[`attn_qkv.${part}`] = () => ({ name: `attention.query_key_value.${part}`, order });
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
};

/** Pairs of columns that turn together stand side by side in the file, half a head apart here. */
const turned = (name: string, width: number): Table[string] => {
  return () => ({
    name,
    order: {
      rows: width,
      first: (head) => head * width,
      within: (row) => 2 * (row % (width / 2)) + (row < width / 2 ? 0 : 1),
    },
  });
};

const llama: GgufArchitecture = {
  whole: {
    'token_embd.weight': 'model.embed_tokens.weight',
    'output_norm.weight': 'model.norm.weight',
    'output.weight': 'lm_head.weight',
  },
  layer(f) {
    const width = f.count('attention.key_length', headDimOf(f));
    const table: Record<string, Table[string]> = {
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
  config: (f, tensors) => ({
    ...transformerConfig(f, tensors),
    model_type: 'llama',
    num_key_value_heads: f.count('attention.head_count_kv', f.count('attention.head_count')),
    head_dim: f.count('attention.key_length', headDimOf(f)),
    rms_norm_eps: f.number('attention.layer_norm_rms_epsilon'),
    attention_bias: tensors.has('blk.0.attn_q.bias'),
    mlp_bias: tensors.has('blk.0.ffn_up.bias'),
  }),
};

const ARCHITECTURES: ReadonlyMap<string, GgufArchitecture> = new Map(Object.entries({ mamba, mamba2, gptneox, llama }));

/**
 * What the metadata and the tensors of a GGUF file say, as the Hugging Face layout would say it. `file` is for messages.
 * Throws `GGUF_ARCHITECTURE` and `GGUF_METADATA`.
 */
export function ggufModel(f: Fields, tensors: Tensors, file: string): GgufModel {
  const architecture = ARCHITECTURES.get(f.architecture);
  if (!architecture) {
    const supported = [...ARCHITECTURES.keys()];
    throw new MambaError(
      'GGUF_ARCHITECTURE',
      `${file} has the architecture ${shownName(f.architecture)}; supported: ${supported.join(', ')}`,
      { file, found: f.architecture, supported },
    );
  }
  const config = architecture.config(f, tensors);
  const { whole, layerPrefix } = architecture;
  const layer = architecture.layer(f);
  return {
    config,
    place(tensor) {
      const inLayer = /^blk\.(\d{1,4})\.(.+)$/.exec(tensor.name);
      const [table, key] = inLayer ? [layer, inLayer[2]!] : [whole, tensor.name];
      const found = Object.hasOwn(table, key) ? table[key] : undefined;
      if (found === undefined) {
        throw new MambaError(
          'GGUF_TENSOR',
          `${file} holds the tensor ${shownName(tensor.name)}, which ${f.architecture} models have no use for here: the ` +
            'model would compute something else',
          { file, tensor: tensor.name },
        );
      }
      const placement = typeof found === 'string' ? { name: found } : found(tensor);
      return inLayer ? { ...placement, name: `${layerPrefix}${Number(inLayer[1])}.${placement.name}` } : placement;
    },
  };
}

function rowsOf(tensors: Tensors, name: string): number {
  const tensor = tensors.get(name);
  if (tensor) return tensor.shape[0]!;
  throw new MambaError('TENSOR_MISSING', `the file has no tensor ${shownName(name)}`, { tensor: name });
}
