/** Tokens per second of one run. */
export interface Speed {
  /** Tokens of the prompt, until the logits after its last one. */
  readonly prefill: number;
  /** Tokens fed one at a time. */
  readonly decode: number;
}

/** How much to read and to write in one run. */
export interface Work {
  readonly promptTokens: number;
  readonly genTokens: number;
}

/** A model file that an engine holds ready. */
export interface Loaded {
  /** Runs once from an empty state. */
  measure(work: Work, signal: AbortSignal): Promise<Speed>;
  /** Gives everything back; ends the process or the page behind it. */
  close(): Promise<void>;
}

/** Something that runs GGUF files: we in Node, we in Chromium, or a peer. */
export interface Engine {
  readonly name: string;
  /** What it is and which version, for the report; known once a file was loaded. */
  readonly version: string;
  /** `work` is the most that will be asked of it. */
  load(file: string, threads: number, work: Work, signal: AbortSignal): Promise<Loaded>;
  /** Ends what outlives single files. */
  close(): Promise<void>;
}

/** Tokens that an engine must have room for, if it reserves it: one that runs out of it reads its text again. */
export const contextFor = ({ promptTokens, genTokens }: Work): number =>
  Math.max(4096, 256 * Math.ceil((promptTokens + genTokens + 1) / 256));
