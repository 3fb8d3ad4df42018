import type { Architecture, ConfigJson, ModelDefinition } from '../architecture.ts';
import { groupedAttention } from '../attention-layer.ts';
import { flag, oneOf } from '../config.ts';
import { swiGluMlp } from '../mlp.ts';
import { preNorm, rmsNorm, stackedModel } from '../stack.ts';
import { StateLayoutBuilder } from '../state-layout.ts';
import { parseTransformer, type TransformerConfig, transformerJson } from '../transformer-config.ts';

/** Llama (Touvron et al. 2023) and those built like it. */
interface LlamaConfig extends TransformerConfig {
  readonly mlpBias: boolean;
}

function parseConfig(json: ConfigJson): LlamaConfig {
  oneOf(json, 'hidden_act', ['silu', 'swish']);
  return {
    ...parseTransformer(json, {
      normEps: { field: 'rms_norm_eps', fallback: 1e-6 },
      attentionBias: false,
      rotary: 1,
      grouped: true,
    }),
    mlpBias: flag(json, 'mlp_bias', false),
  };
}

function huggingFaceConfig(json: ConfigJson): ConfigJson {
  const c = parseConfig(json);
  return {
    ...transformerJson(json, c, 1),
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    num_key_value_heads: c.keyHeads,
    head_dim: c.headDim,
    rms_norm_eps: c.normEps,
    hidden_act: 'silu',
    mlp_bias: c.mlpBias,
  };
}

function createModel(c: LlamaConfig): ModelDefinition {
  const layout = new StateLayoutBuilder();
  const layers = Array.from({ length: c.nLayer }, (_, i) => {
    const prefix = `model.layers.${i}`;
    return [
      preNorm(`${prefix}.input_layernorm.weight`, c, groupedAttention(c, `${prefix}.self_attn`, layout, `layers.${i}`)),
      preNorm(
        `${prefix}.post_attention_layernorm.weight`,
        c,
        swiGluMlp(c.dModel, c.dIntermediate, c.mlpBias, `${prefix}.mlp`),
      ),
    ];
  });
  return stackedModel('llama', c, layout, layers, {
    embedding: 'model.embed_tokens.weight',
    head: 'lm_head.weight',
    finalNorm: rmsNorm('model.norm.weight', c),
    contextLength: c.contextLength,
  });
}

export const architecture: Architecture<LlamaConfig> = {
  modelTypes: ['llama'],
  recognizes: () => false,
  parseConfig,
  canonicalName: (name) => name,
  huggingFaceConfig,
  createModel,
  presets: {
    'smollm-135m': {
      model_type: 'llama',
      vocab_size: 49152,
      hidden_size: 576,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      intermediate_size: 1536,
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      tie_word_embeddings: true,
    },
    'tinyllama-1.1b': {
      model_type: 'llama',
      vocab_size: 32000,
      hidden_size: 2048,
      num_hidden_layers: 22,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      intermediate_size: 5632,
      max_position_embeddings: 2048,
      rms_norm_eps: 1e-5,
      rope_theta: 10000,
      tie_word_embeddings: false,
    },
  },
};
