import type { Tokenizer } from '@mamba-ts/tokenizer';

/**
 * The ids of a text that begins a sequence. The token that begins texts stands there once, though chat templates write it
 * as well.
 */
export function encodePrompt(tokenizer: Tokenizer, text: string): number[] {
  const ids = tokenizer.encode(text);
  const [begin] = tokenizer.encode('');
  return begin !== undefined && ids[0] === begin && ids[1] === begin ? ids.slice(1) : ids;
}
