/** What makes ids of one word: the model part of a tokenizer. */
export interface WordModel {
  /** Appends the ids of `word` (well-formed text, never empty) to `out`. */
  encode(word: string, out: number[]): void;
}

/** Where a piece of text stands: prefixes such as a space are put before some pieces and not before others. */
export type Place =
  /** At the start of the whole text. */
  | 'first'
  /** After an added token. */
  | 'later'
  /** At the start of a text that continues another one: nothing is put before it. */
  | 'continued';
