export { type Architecture, type ConfigJson, defineModel, type ModelDefinition, type Observe } from './architecture.ts';
export { type AttentionConfig, fusedAttention, groupedAttention } from './attention-layer.ts';
export { findArchitecture, findPreset, supportedModelTypes } from './find-architecture.ts';
export { gatedMlp } from './gated-mlp.ts';
export {
  LoadedLanguageModel,
  type LoadModelOptions,
  loadLanguageModel,
  type ModelSummary,
  type Observed,
} from './language-model.ts';
export {
  type MambaMixerConfig,
  type MambaMixerParameters,
  type MambaMixerState,
  mambaMixer,
  mambaMixerBlock,
  mambaMixerParameters,
  mambaMixerState,
} from './mamba-mixer.ts';
export { type Mamba2MixerConfig, mamba2Mixer } from './mamba2-mixer.ts';
export { type Mamba3MixerConfig, mamba3Mixer } from './mamba3-mixer.ts';
export { geluMlp, swiGluMlp } from './mlp.ts';
export type { LanguageModel, LogitsWanted, Sequence, State } from './model.ts';
export { type LoadedParameters, type LoadOptions, listParameters, loadParameters } from './parameters.ts';
export { randomWeights } from './random-weights.ts';
export { ropeFrequencies } from './rope.ts';
export {
  type Block,
  type BlockForward,
  block,
  layerNorm,
  parallelResidual,
  preNorm,
  residual,
  rmsNorm,
  type StackEnds,
  stackedModel,
} from './stack.ts';
export type { StackConfig } from './stack-config.ts';
export { encodeState, type StateOwner } from './state-file.ts';
export { type StateLayout, StateLayoutBuilder } from './state-layout.ts';
