// What the browser's and Node's entry have in common.
export type { RenderChatOptions } from './chat/budget.ts';
export { type ChatMessage, type ChatTemplate, type ChatTemplateFiles, readChatTemplate } from './chat/template.ts';
export { TokenizerError, type TokenizerErrorCode } from './errors.ts';
export { type GgufTokenizerFields, tokenizerJsonOfGguf } from './gguf.ts';
export type { StreamingDecoder } from './streaming.ts';
export {
  type GgufTokenizer,
  type GgufTokenizerContext,
  type GgufTokenizerField,
  ggufOfTokenizerJson,
} from './to-gguf.ts';
export { type DecodeOptions, type EncodeOptions, Tokenizer } from './tokenizer.ts';
export { type TrainTokenizerOptions, trainTokenizer } from './train.ts';
