import type { Architecture, ConfigJson, ModelDefinition } from '../architecture.ts';
import { consistent, expanded, flag, object, oneOf, positive, size } from '../config.ts';
import { mambaStack } from '../mamba-stack.ts';
import { type Mamba3MixerConfig, mamba3Mixer } from '../mamba3-mixer.ts';
import { originalLayer, originalStack, type StackConfig } from '../stack-config.ts';

/** As state-spaces/mamba names it: this architecture has no other layout. */
const EMBEDDING = 'backbone.embedding.weight';

/** Mamba-3 (Lahoti et al. 2026), SISO and MIMO. */
interface Mamba3Config extends StackConfig, Mamba3MixerConfig {}

/**
 * state-spaces/mamba modules/mamba3.py. `ssm_cfg.A_activation` is ours: `heavy_tail`, as that code has it since June 2026
 * and as it reads a config.json without the field, or `softplus`, as it was before.
 */
function parseConfig(json: ConfigJson): Mamba3Config {
  const stack = originalStack(json);
  const ssm = object(json, 'ssm_cfg');
  oneOf(ssm, 'layer', ['Mamba3']);
  oneOf(ssm, 'rope_fraction', [0.5, 1]);
  oneOf(ssm, 'A_activation', ['heavy_tail', 'softplus']);
  const inner = expanded(ssm, stack.dModel);
  const headDim = size(ssm, 'headdim', 64);
  const dState = size(ssm, 'd_state', 128);
  const groups = size(ssm, 'ngroups', 1);
  const mimo = flag(ssm, 'is_mimo', false);
  const angles = Math.floor(Math.floor(dState * positive(ssm, 'rope_fraction', 0.5)) / 2);
  consistent(inner % headDim === 0, `expand * d_model = ${inner} is not divisible by ssm_cfg.headdim = ${headDim}`);
  const heads = inner / headDim;
  consistent(heads % groups === 0, `${heads} heads are not divisible by ssm_cfg.ngroups = ${groups}`);
  consistent(angles > 0, `ssm_cfg.d_state = ${dState} leaves no pair to turn`);
  consistent(!mimo || dState % 2 === 0, `ssm_cfg.d_state = ${dState} is odd; a MIMO layer turns its halves together`);
  return {
    ...stack,
    heads,
    headDim,
    groups,
    dState,
    angles,
    rank: mimo ? size(ssm, 'mimo_rank', 4) : null,
    norm: flag(ssm, 'is_outproj_norm', false),
    form: {
      rotation: mimo ? 'halves' : 'pairs',
      activation: ssm.A_activation === 'softplus' ? 'softplus' : 'heavyTail',
      floor: positive(ssm, 'A_floor', 1e-4),
    },
    mixerNormEps: 1e-5,
  };
}

function createModel(c: Mamba3Config): ModelDefinition {
  return mambaStack('mamba3', c, (prefix, layout, state) => mamba3Mixer(c, prefix, layout, state), EMBEDDING);
}

/**
 * The published sizes of state-spaces/mamba3. Widths of in_proj and counts of parameters are as published; the layers and
 * MLP widths follow from them (MIMO takes from its MLP what its projections add).
 */
const preset = (d_model: number, n_layer: number, d_intermediate: number, is_mimo: boolean): ConfigJson => ({
  d_model,
  n_layer,
  d_intermediate,
  vocab_size: 128256,
  pad_vocab_size_multiple: 16,
  ssm_cfg: { layer: 'Mamba3', is_mimo },
});

export const architecture: Architecture<Mamba3Config> = {
  modelTypes: ['mamba3'],
  recognizes: (json) => originalLayer(json) === 'Mamba3',
  parseConfig,
  // Files that we trained at first have the other name.
  canonicalName: (name) => (name === 'backbone.embeddings.weight' ? EMBEDDING : name),
  createModel,
  presets: {
    'mamba3-siso-187m': preset(768, 12, 1536, false),
    'mamba3-mimo-187m': preset(768, 12, 1264, true),
    'mamba3-mimo-1.5b': preset(2048, 24, 3824, true),
  },
};
