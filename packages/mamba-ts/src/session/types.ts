import type { GenerateOptions, GenerationResult, Progress } from '../types.ts';

/** How a session's answers are chosen unless a turn says otherwise. */
export type SessionSettings = Omit<GenerateOptions, 'signal' | 'onProgress'>;

/** How to take up a saved session. */
export interface LoadSessionOptions {
  /** In place of the saved ones. */
  readonly settings?: SessionSettings;
  /** As in {@link SessionOptions}. */
  readonly cacheBytes?: number;
}

/** What a session begins with. */
export interface SessionOptions {
  /** Text that stands before all turns; `undo` never takes it back. */
  readonly system?: string;
  /** One seed serves all turns; a random one unless told otherwise. */
  readonly settings?: SessionSettings;
  /**
   * Bytes that kept states may take, for this session and its forks together; 256 MiB unless told otherwise. They make
   * `undo` and repeated or edited turns read only what changed.
   */
  readonly cacheBytes?: number;
}

/** What was given, and what the model wrote after it. Together the turns are the session's text. */
export interface Turn {
  /** `system`: before all others. `text`: from `append`. `answer`: from `stream` or `generate`. */
  readonly kind: 'system' | 'text' | 'answer';
  readonly prompt: string;
  /** As shown: up to the stop text. */
  readonly answer: string;
  /** What the model wrote beyond the answer: the stop text, if any. The session has read it. */
  readonly rest: string;
  readonly promptTokens: number;
  /** Of `answer` and `rest`. */
  readonly answerTokens: number;
  /** Null where nothing was asked for; `aborted`: by the signal, or by leaving the stream. */
  readonly stopReason: GenerationResult['stopReason'] | 'aborted' | null;
  readonly seed: number | null;
}

/** An answer, and what it took. */
export interface SessionResult extends GenerationResult {
  /** Tokens before the answer that did not have to be read, for a state had them. */
  readonly reusedTokens: number;
}

/** The pieces of an answer as they come; the return value is the result. */
export type SessionStream = AsyncGenerator<string, SessionResult, void>;

/** How to read text without answering. */
export interface ReadingOptions {
  /** Ends it within a chunk by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Called while the text is read, with its tokens. */
  readonly onProgress?: (progress: Progress) => void;
}

/** What a session holds; sizes in bytes. */
export interface SessionStats {
  /** Of the whole text. */
  readonly tokens: number;
  /** Of this session's own state; 0 where it is to be read again first. */
  readonly stateBytes: number;
  /** Kept by this session and its forks together. */
  readonly cache: { readonly states: number; readonly bytes: number; readonly maxBytes: number };
}

/**
 * A text that grows turn by turn, with the model's state after it. Each text is tokenized on its own, so ids of earlier
 * turns never change. One call at a time: `SESSION_BUSY`. The same seed and the same turns give the same tokens; a
 * turn's draws go on where those before it ended.
 *
 * Sessions are kept apart: states that one keeps serve only it and its forks.
 */
export interface Session {
  /** All turns so far, the oldest first. */
  readonly turns: readonly Turn[];
  /** With the seed that is used. */
  readonly settings: SessionSettings & { readonly seed: number };
  /** Reads `text` without answering. Where it is aborted, the rest is read before the next answer. */
  append(text: string, options?: ReadingOptions): Promise<Turn>;
  /**
   * Reads `text` (empty: goes on) and writes an answer, piece by piece. Aborting `signal` or leaving the loop ends it
   * within a token; what was written until then is part of the session (in a worker it may be more than was seen).
   * Where it fails otherwise, the session is as it was.
   */
  stream(text: string, options?: GenerateOptions): SessionStream;
  /** The same, all at once. */
  generate(text: string, options?: GenerateOptions): Promise<SessionResult>;
  /** Takes the last turn back and returns it; null where there is none but the system's. */
  undo(): Promise<Turn | null>;
  /** A second session at the same place: one copy of the state, nothing is read again. */
  fork(): Promise<Session>;
  /** As a file: text, ids, turns, settings and state. `MambaModel.loadSession` reads it back. */
  save(): Promise<Uint8Array>;
  /** Token ids of the whole text. */
  ids(): Promise<number[]>;
  /** Its size now. */
  stats(): Promise<SessionStats>;
  /** Gives the state back; with the last of a family of forks, also the states they kept. */
  dispose(): Promise<void>;
}
