export { TokenizerError, type TokenizerErrorCode } from './errors.ts';
export type { GgufTokenizerFields } from './gguf.ts';
export type { StreamingDecoder } from './streaming.ts';
export { type DecodeOptions, type EncodeOptions, Tokenizer } from './tokenizer.ts';
