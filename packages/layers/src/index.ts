export type { Architecture, ConfigJson, ModelDefinition, Observe } from './architecture.ts';
export { crc32 } from './crc32.ts';
export { findArchitecture, findPreset, supportedModelTypes } from './find-architecture.ts';
export { LoadedLanguageModel, loadLanguageModel, type ModelSummary, type Observed } from './language-model.ts';
export {
  type MambaMixerConfig,
  type MambaMixerParameters,
  type MambaMixerState,
  mambaMixer,
  mambaMixerParameters,
  mambaMixerState,
} from './mamba-mixer.ts';
export type { LanguageModel, LogitsWanted, Sequence, State } from './model.ts';
export { type LoadedParameters, type LoadOptions, listParameters, loadParameters } from './parameters.ts';
export { randomWeights } from './random-weights.ts';
export { type StateLayout, StateLayoutBuilder } from './state-layout.ts';
