import type { Architecture, ConfigJson, ModelDefinition } from '../architecture.ts';
import { expanded, flag, object, oneOf, positive, size } from '../config.ts';
import { type MambaMixerConfig, mambaMixerBlock } from '../mamba-mixer.ts';
import { mambaStack } from '../mamba-stack.ts';
import {
  canonicalName,
  expandFor,
  huggingFaceStack,
  huggingFaceStackJson,
  isOriginal,
  originalLayer,
  originalStack,
  type StackConfig,
} from '../stack-config.ts';

/**
 * Mamba-1 (Gu & Dao 2023), and FalconMamba, which is Mamba-1 with a norm on delta, B and C (Zuo et al. 2024).
 */
interface MambaConfig extends StackConfig, MambaMixerConfig {
  readonly modelType: string;
}

/** dt_rank: a number, or "auto" = ceil(d_model / 16). */
function rank(json: ConfigJson, field: string, dModel: number): number {
  const auto = Math.ceil(dModel / 16);
  return json[field] === 'auto' ? auto : size(json, field, auto);
}

/**
 * transformers configuration_mamba.py and configuration_falcon_mamba.py. `selective: false` is ours: the time-invariant
 * twin to compare with.
 */
function parseHuggingFace(json: ConfigJson): MambaConfig {
  const falcon = json.model_type === 'falcon_mamba';
  const stack = huggingFaceStack(json, true);
  const { dModel } = stack;
  return {
    ...stack,
    modelType: falcon ? 'falcon_mamba' : 'mamba',
    dInner: size(json, 'intermediate_size', expanded(json, dModel)),
    dState: size(json, 'state_size', 16),
    dConv: size(json, 'conv_kernel', 4),
    dtRank: rank(json, 'time_step_rank', dModel),
    bias: flag(json, 'use_bias', false),
    convBias: flag(json, 'use_conv_bias', true),
    selectionNormEps: falcon ? positive(json, 'mixer_rms_eps', 1e-6) : null,
    selective: flag(json, 'selective', true),
  };
}

/** state-spaces/mamba modules/mamba_simple.py. */
function parseOriginal(json: ConfigJson): MambaConfig {
  const stack = originalStack(json);
  const ssm = object(json, 'ssm_cfg');
  oneOf(ssm, 'layer', ['Mamba1']);
  return {
    ...stack,
    modelType: 'mamba',
    dInner: expanded(ssm, stack.dModel),
    dState: size(ssm, 'd_state', 16),
    dConv: size(ssm, 'd_conv', 4),
    dtRank: rank(ssm, 'dt_rank', stack.dModel),
    bias: flag(ssm, 'bias', false),
    convBias: flag(ssm, 'conv_bias', true),
    selectionNormEps: null,
    selective: true,
  };
}

const parseConfig = (json: ConfigJson): MambaConfig =>
  isOriginal(json) ? parseOriginal(json) : parseHuggingFace(json);

function huggingFaceConfig(json: ConfigJson): ConfigJson {
  const c = parseConfig(json);
  const falcon = c.selectionNormEps !== null;
  return {
    ...huggingFaceStackJson(json, c),
    architectures: [falcon ? 'FalconMambaForCausalLM' : 'MambaForCausalLM'],
    model_type: c.modelType,
    expand: expandFor(c.dInner, c.dModel),
    intermediate_size: c.dInner,
    state_size: c.dState,
    conv_kernel: c.dConv,
    time_step_rank: c.dtRank,
    use_bias: c.bias,
    use_conv_bias: c.convBias,
    ...(c.selective ? {} : { selective: false }),
    ...(falcon ? { mixer_rms_eps: c.selectionNormEps } : {}),
  };
}

function createModel(c: MambaConfig): ModelDefinition {
  return mambaStack(c.modelType, c, (prefix, layout, state) => mambaMixerBlock(c, prefix, layout, state));
}

/** The published sizes of state-spaces/mamba, in the original dialect. */
const preset = (d_model: number, n_layer: number): ConfigJson => ({
  d_model,
  n_layer,
  vocab_size: 50277,
  pad_vocab_size_multiple: 8,
});

export const architecture: Architecture<MambaConfig> = {
  modelTypes: ['mamba', 'falcon_mamba'],
  recognizes: (json) => originalLayer(json) === 'Mamba1',
  parseConfig,
  canonicalName,
  huggingFaceConfig,
  skipsUpdates: true,
  createModel,
  presets: {
    'mamba-130m': preset(768, 24),
    'mamba-370m': preset(1024, 48),
    'mamba-790m': preset(1536, 48),
    'mamba-1.4b': preset(2048, 48),
    'mamba-2.8b': preset(2560, 64),
    'falcon-mamba-7b': {
      model_type: 'falcon_mamba',
      hidden_size: 4096,
      num_hidden_layers: 64,
      vocab_size: 65024,
      time_step_rank: 256,
      tie_word_embeddings: false,
    },
  },
};
