/**
 * The state of one sequence, tagged with the model that made it: of fixed size for a recurrent model, growing with the text
 * for one with attention.
 */
export interface State {
  /** Bytes it holds in the backend's memory now; for a recurrent model independent of `position`. */
  readonly byteLength: number;
  /** Tokens fed so far. */
  readonly position: number;
  /** An independent copy, of no more bytes than this one: one memory copy, no recomputation. */
  clone(): State;
  /** As a file: versioned, with a checksum and the model's fingerprint. `LanguageModel.loadState` reads it back. */
  save(): Promise<Uint8Array>;
  /** Gives the memory back. */
  dispose(): void;
}

/** Which logits a forward pass gives: of the last id, of every id, or of none. */
export type LogitsWanted = 'last' | 'all' | 'none';

/** One sequence's share of a batch. */
export interface Sequence {
  readonly ids: Int32Array;
  /** Continued in place. */
  readonly state: State;
  /** Of which of these tokens. */
  readonly logits: LogitsWanted;
}

/** What generation, scoring and serving need of a model; every architecture is one of these. */
export interface LanguageModel {
  /** As config.json says: padded rows are cut off, so that a padded id can never be drawn. */
  readonly vocabSize: number;
  /** Ids that end a generation. */
  readonly eosTokenIds: readonly number[];
  /** What an empty prompt starts from, where the config names it. */
  readonly bosTokenId: number | null;
  /** The most tokens of a text, of a Transformer; null or left out for no limit. */
  readonly contextLength?: number | null;
  /** Most ids in one forward call; longer texts are fed in pieces. */
  readonly maxChunk: number;
  /** A state before any token: zeros, or what the model was told to begin with. */
  createState(): State;
  /**
   * Reads what `State.save` wrote. Throws `STATE_FORMAT` for mangled bytes, `STATE_VERSION` for another version's,
   * `STATE_MODEL` for another model's or another dtype's, `STATE_ADAPTER` for another adapter's.
   */
  loadState(bytes: Uint8Array): State;
  /**
   * Feeds `ids` into `state` and returns logits, f32: `[vocabSize]` of the last id, `[ids.length, vocabSize]` of all,
   * or none. At most `maxChunk` ids; an id outside the vocabulary throws `TOKEN_ID`, a text longer than a Transformer's
   * context `CONTEXT_LENGTH`, rows that do not fit `OUT_OF_MEMORY`: all leave the state alone.
   */
  forward(ids: Int32Array, state: State, logits: LogitsWanted): Promise<Float32Array>;
  /**
   * The same for several sequences of any lengths in one pass, without padding; together at most `maxChunk` ids.
   * The states must be distinct.
   */
  forwardBatch(sequences: readonly Sequence[]): Promise<Float32Array[]>;
  /** Frees the weights. States made by it must not be used afterwards. */
  dispose(): void;
}
