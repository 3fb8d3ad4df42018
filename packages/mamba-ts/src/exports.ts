// What the browser's and Node's entry have in common.
export type { InspectOptions, InspectReport } from '@mamba-ts/lab';
export type { LanguageModel, State } from '@mamba-ts/layers';
export { supportedModelTypes } from '@mamba-ts/layers';
export { type BackendDescription, isMambaError, MambaError, type MemoryUse } from '@mamba-ts/tensor';
export { type ChatMessage, type ChatTemplate, Tokenizer } from '@mamba-ts/tokenizer';
export { backendNames, createBackend, createTrainingBackend } from './backends.ts';
export {
  type ConvertDType,
  type ConvertedFile,
  type ConvertedModel,
  type ConvertModelOptions,
  convertModel,
} from './convert.ts';
export { LocalModel, loadLocalModel, tokenizerOf } from './local-model.ts';
export type * from './session/types.ts';
export type * from './types.ts';
