import type { Architecture, ConfigJson, ModelDefinition } from '../architecture.ts';
import { fusedAttention } from '../attention-layer.ts';
import { flag, oneOf } from '../config.ts';
import { geluMlp } from '../mlp.ts';
import { ropeParameters } from '../rope.ts';
import { layerNorm, parallelResidual, residual, stackedModel } from '../stack.ts';
import { StateLayoutBuilder } from '../state-layout.ts';
import { parseTransformer, type TransformerConfig, transformerJson } from '../transformer-config.ts';

/** GPT-NeoX (Black et al. 2022): Pythia (Biderman et al. 2023) among others. */
interface GptNeoxConfig extends TransformerConfig {
  /** Attention and MLP both from the layer's input, or one after the other. */
  readonly parallel: boolean;
  readonly gelu: 'erf' | 'tanh';
}

/** The share of a head's columns that turn where the file does not say. */
const ROTARY = 0.25;

const TANH = ['gelu_new', 'gelu_fast', 'gelu_pytorch_tanh'];

function parseConfig(json: ConfigJson): GptNeoxConfig {
  oneOf(json, 'hidden_act', ['gelu', ...TANH]);
  return {
    ...parseTransformer(json, {
      normEps: { field: 'layer_norm_eps', fallback: 1e-5 },
      attentionBias: true,
      rotary: ROTARY,
      grouped: false,
    }),
    parallel: flag(json, 'use_parallel_residual', true),
    gelu: TANH.includes(json.hidden_act as string) ? 'tanh' : 'erf',
  };
}

function huggingFaceConfig(json: ConfigJson): ConfigJson {
  const c = parseConfig(json);
  return {
    ...transformerJson(json, c, ROTARY),
    architectures: ['GPTNeoXForCausalLM'],
    model_type: 'gpt_neox',
    layer_norm_eps: c.normEps,
    use_parallel_residual: c.parallel,
    hidden_act: json.hidden_act ?? 'gelu',
    rotary_pct: ropeParameters(json, ROTARY).partial_rotary_factor,
  };
}

function createModel(c: GptNeoxConfig): ModelDefinition {
  const layout = new StateLayoutBuilder();
  const layers = Array.from({ length: c.nLayer }, (_, i) => {
    const prefix = `gpt_neox.layers.${i}`;
    const attention = [
      layerNorm(`${prefix}.input_layernorm`, c),
      fusedAttention(c, `${prefix}.attention`, layout, `layers.${i}`),
    ] as const;
    const mlp = [
      layerNorm(`${prefix}.post_attention_layernorm`, c),
      geluMlp(c.dModel, c.dIntermediate, c.gelu, `${prefix}.mlp`),
    ] as const;
    return c.parallel ? [parallelResidual([attention, mlp])] : [residual(...attention), residual(...mlp)];
  });
  return stackedModel('gpt_neox', c, layout, layers, {
    embedding: 'gpt_neox.embed_in.weight',
    head: 'embed_out.weight',
    finalNorm: layerNorm('gpt_neox.final_layer_norm', c),
    contextLength: c.contextLength,
  });
}

/** The published sizes of EleutherAI's Pythia; the vocabulary is padded. */
const pythia = (hidden_size: number, num_hidden_layers: number, num_attention_heads: number): ConfigJson => ({
  model_type: 'gpt_neox',
  vocab_size: 50304,
  hidden_size,
  num_hidden_layers,
  num_attention_heads,
  intermediate_size: 4 * hidden_size,
  rotary_pct: 0.25,
  max_position_embeddings: 2048,
  tie_word_embeddings: false,
});

export const architecture: Architecture<GptNeoxConfig> = {
  modelTypes: ['gpt_neox'],
  recognizes: () => false,
  parseConfig,
  canonicalName: (name) => name,
  huggingFaceConfig,
  createModel,
  presets: {
    'pythia-70m': pythia(512, 6, 8),
    'pythia-160m': pythia(768, 12, 12),
    'pythia-410m': pythia(1024, 24, 16),
    'pythia-1b': pythia(2048, 16, 8),
    'pythia-1.4b': pythia(2048, 24, 16),
    'pythia-2.8b': pythia(2560, 32, 32),
  },
};
