import type { Architecture, ConfigJson, ModelDefinition } from '../architecture.ts';
import { consistent, expanded, flag, object, oneOf, range, size } from '../config.ts';
import { mambaStack } from '../mamba-stack.ts';
import { type Mamba2MixerConfig, mamba2Mixer } from '../mamba2-mixer.ts';
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

/** Mamba-2 (Dao & Gu 2024). */
interface Mamba2Config extends StackConfig, Mamba2MixerConfig {}

const NO_LIMIT: readonly [number, number] = [0, Number.POSITIVE_INFINITY];

/**
 * transformers configuration_mamba2.py. `chunk_size` is the backend's business; `norm_before_gate` and `rms_norm`, which
 * older files carry, have no effect in transformers either.
 */
function parseHuggingFace(json: ConfigJson): Mamba2Config {
  const stack = huggingFaceStack(json, false);
  const dInner = expanded(json, stack.dModel);
  const heads = size(json, 'num_heads', 128);
  const groups = size(json, 'n_groups', 8);
  const headDim = size(json, 'head_dim', 64);
  consistent(
    heads * headDim === dInner,
    `num_heads * head_dim = ${heads * headDim}, but expand * hidden_size = ${dInner}; they must be equal`,
  );
  consistent(heads % groups === 0, `num_heads = ${heads} is not divisible by n_groups = ${groups}`);
  return {
    ...stack,
    dInner,
    dSsm: dInner,
    heads,
    groups,
    dState: size(json, 'state_size', 128),
    dConv: size(json, 'conv_kernel', 4),
    bias: flag(json, 'use_bias', false),
    convBias: flag(json, 'use_conv_bias', true),
    skipPerChannel: false,
    dtLimit: range(json, 'time_step_limit', NO_LIMIT),
    norm: 'after',
    mixerNormEps: stack.normEps,
  };
}

/** state-spaces/mamba modules/mamba2.py. */
function parseOriginal(json: ConfigJson): Mamba2Config {
  const stack = originalStack(json);
  const ssm = object(json, 'ssm_cfg');
  oneOf(ssm, 'layer', ['Mamba2']);
  const dInner = expanded(ssm, stack.dModel);
  const dSsm = size(ssm, 'd_ssm', dInner);
  const headDim = size(ssm, 'headdim', 64);
  const groups = size(ssm, 'ngroups', 1);
  consistent(dSsm <= dInner, `ssm_cfg.d_ssm = ${dSsm} is more than expand * d_model = ${dInner}`);
  consistent(dSsm % headDim === 0, `the SSM is ${dSsm} wide, which ssm_cfg.headdim = ${headDim} does not divide`);
  const heads = dSsm / headDim;
  consistent(heads % groups === 0, `${heads} heads are not divisible by ssm_cfg.ngroups = ${groups}`);
  const norm = flag(ssm, 'rmsnorm', true);
  return {
    ...stack,
    dInner,
    dSsm,
    heads,
    groups,
    dState: size(ssm, 'd_state', 128),
    dConv: size(ssm, 'd_conv', 4),
    bias: flag(ssm, 'bias', false),
    convBias: flag(ssm, 'conv_bias', true),
    skipPerChannel: flag(ssm, 'D_has_hdim', false),
    dtLimit: range(ssm, 'dt_limit', NO_LIMIT),
    norm: !norm ? 'none' : flag(ssm, 'norm_before_gate', false) ? 'before' : 'after',
    mixerNormEps: 1e-5,
  };
}

const parseConfig = (json: ConfigJson): Mamba2Config =>
  isOriginal(json) ? parseOriginal(json) : parseHuggingFace(json);

function huggingFaceConfig(json: ConfigJson): ConfigJson {
  const c = parseConfig(json);
  const only = 'in the Hugging Face layout of Mamba-2';
  consistent(c.dSsm === c.dInner, `no MLP lies beside the SSM ${only} (ssm_cfg.d_ssm)`);
  consistent(!c.skipPerChannel, `D has one number per head ${only} (ssm_cfg.D_has_hdim)`);
  consistent(c.norm === 'after', `the gate comes before the norm ${only} (ssm_cfg.norm_before_gate, rmsnorm)`);
  consistent(
    c.mixerNormEps === c.normEps,
    `all norms have one epsilon ${only}; here it is ${c.normEps} and ${c.mixerNormEps}`,
  );
  return {
    ...huggingFaceStackJson(json, c),
    architectures: ['Mamba2ForCausalLM'],
    model_type: 'mamba2',
    expand: expandFor(c.dInner, c.dModel),
    num_heads: c.heads,
    head_dim: c.dInner / c.heads,
    n_groups: c.groups,
    state_size: c.dState,
    conv_kernel: c.dConv,
    use_bias: c.bias,
    use_conv_bias: c.convBias,
    time_step_limit: c.dtLimit,
  };
}

function createModel(c: Mamba2Config): ModelDefinition {
  return mambaStack('mamba2', c, (prefix, layout, state) => mamba2Mixer(c, prefix, layout, state));
}

/** The published sizes of state-spaces/mamba2, in the original dialect. */
const preset = (d_model: number, n_layer: number): ConfigJson => ({
  d_model,
  n_layer,
  vocab_size: 50277,
  pad_vocab_size_multiple: 16,
  ssm_cfg: { layer: 'Mamba2' },
});

export const architecture: Architecture<Mamba2Config> = {
  modelTypes: ['mamba2'],
  recognizes: (json) => originalLayer(json) === 'Mamba2',
  parseConfig,
  canonicalName,
  huggingFaceConfig,
  skipsUpdates: true,
  createModel,
  presets: {
    'mamba2-130m': preset(768, 24),
    'mamba2-370m': preset(1024, 48),
    'mamba2-780m': preset(1536, 48),
    'mamba2-1.3b': preset(2048, 48),
    'mamba2-2.7b': preset(2560, 64),
  },
};
