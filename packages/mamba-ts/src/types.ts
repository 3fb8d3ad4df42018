import type { InspectOptions, InspectReport } from '@mamba-ts/lab';
import type { BackendDescription, MemoryUse } from '@mamba-ts/tensor';
import type { ChatMessage, RenderChatOptions } from '@mamba-ts/tokenizer';
import type { LoadSessionOptions, Session, SessionOptions } from './session/types.ts';

/** Which kernels run the model; `auto` takes the fastest that this machine can run. */
export type BackendName = 'auto' | 'reference' | 'wasm-simd' | 'wasm-relaxed';

/** How far a long call is, told to `onProgress`. */
export interface Progress {
  /** `wait`: somebody else downloads the same model, and it is waited for. */
  readonly phase: 'wait' | 'download' | 'weights' | 'prompt';
  /** Bytes that have come (in earlier attempts too), bytes of weights read, or tokens of the prompt. */
  readonly done: number;
  /** How many there will be, in the same unit. */
  readonly total: number;
}

/** How to load a model. */
export interface LoadOptions {
  /** `auto` unless told otherwise. Throws `BACKEND` for a name that is none. */
  readonly backend?: BackendName;
  /**
   * Threads of the kernels, 1 to 64; `auto`, the default, takes as many as the machine has cores. The results do not depend
   * on it. In a page that is not cross-origin isolated there is one, and `info.backend.note` says so.
   */
  readonly threads?: number | 'auto';
  /**
   * Skip updates of the state that are smaller: at a token, those of a channel (Mamba-1) or head (Mamba-2) where
   * |delta| max|A| and |delta u| max|B| both are. An approximation that may save time; the results say what share was
   * skipped. None unless given. Throws `INVALID_OPTION` for what is no number above 0, `SKIP_MODEL` for other models.
   */
  readonly skipBelow?: number;
  /**
   * An adapter in PEFT's layout (LoRA) that is merged into the weights as they are read: the path or address of its folder, or
   * its files. Throws `ADAPTER_BASE` where it belongs to another model.
   */
  readonly adapter?: string | URL | Iterable<File>;
  /**
   * A saved state that has read no token, such as the one that `mamba tune --method state` writes: every text begins with it,
   * in sessions too. Throws `STATE_FORMAT`, `STATE_MODEL` for another model's, `STATE_POSITION`.
   */
  readonly state?: Uint8Array;
  /** Run the model in a worker, so that the caller's thread stays free; true unless told otherwise. */
  readonly worker?: boolean;
  /** Ends the loading by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Called while files are downloaded and while the weights are read, with their bytes. */
  readonly onProgress?: (progress: Progress) => void;
}

/** What a loaded model is. */
export interface ModelInfo {
  /** The folder's name, or the last part of its address. */
  readonly name: string;
  /** Its `model_type`, such as `mamba`. */
  readonly architecture: string;
  /** Numbers in the weights; a tied embedding counts once. */
  readonly parameters: number;
  readonly vocabSize: number;
  /** Tensors and bytes in memory by dtype. */
  readonly dtypes: Readonly<Record<string, { readonly tensors: number; readonly bytes: number }>>;
  /** Bytes of weights in memory. */
  readonly weightBytes: number;
  /** Bytes of one sequence's state, however long its text; of a Transformer what it holds before any token: none. */
  readonly stateBytes: number;
  /** Bytes that each token of a text adds to it: 0 but for Transformers. */
  readonly stateBytesPerToken: number;
  /** Bytes of weights read per decoded token. */
  readonly decodeBytes: number;
  /** 2 x the non-embedding weights: operations per prompt token; the head's per prompt come on top. */
  readonly flopsPerToken: number;
  /** Operations of the output matrix for one token. */
  readonly flopsHead: number;
  /** Whether its files hold a template for conversations: see {@link MambaModel.renderChat}. */
  readonly chatTemplate: boolean;
  /** What was read, with sizes in bytes. */
  readonly files: readonly { readonly name: string; readonly size: number }[];
  /** What runs it. */
  readonly backend: BackendDescription;
  /** From opened files to a model that is ready, in milliseconds. */
  readonly loadMs: number;
}

/** How to choose each token, and when to stop. Every field has the meaning it has in Hugging Face transformers. */
export interface GenerateOptions {
  /** Tokens to generate at most; 256 unless told otherwise. */
  readonly maxTokens?: number;
  /** 0 takes the likeliest token every time; 0.8 unless told otherwise. */
  readonly temperature?: number;
  /** Choose among the K likeliest tokens; 0 for no limit. */
  readonly topK?: number;
  /** Choose among the likeliest tokens that together have probability P. */
  readonly topP?: number;
  /** Drop tokens less likely than P times the likeliest. */
  readonly minP?: number;
  /** Above 1: divides the positive logits of tokens that came before, and multiplies the negative ones; 1 for none. */
  readonly repetitionPenalty?: number;
  /** Taken from a token's logit each time it was generated; 0 for none. */
  readonly frequencyPenalty?: number;
  /** Taken once from the logit of every token that was generated; 0 for none. */
  readonly presencePenalty?: number;
  /** Added to the logits, by token id. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** The same seed gives the same tokens; a random one unless told otherwise, reported in the result. */
  readonly seed?: number;
  /** Texts that end the generation; they are not part of the result. */
  readonly stop?: string | readonly string[];
  /** Ends it within a token by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Called while the prompt is read, with its tokens. */
  readonly onProgress?: (progress: Progress) => void;
}

/** What was generated, why it ended, and how long it took. */
export interface GenerationResult {
  /** The generated part only. */
  readonly text: string;
  /** The token ids that the model chose, with those of a stop text. */
  readonly ids: readonly number[];
  /** `length`: maxTokens reached; `stop`: a stop text; `eos`: the model ended it. */
  readonly stopReason: 'length' | 'stop' | 'eos';
  /** Given again with the same prompt and options, it gives the same text. */
  readonly seed: number;
  /** Tokens of the prompt that were read. */
  readonly prefillTokens: number;
  /** Milliseconds until the first token could be chosen. */
  readonly prefillMs: number;
  /** Tokens fed back one at a time; the last one generated is not. */
  readonly decodeTokens: number;
  /** Milliseconds for those. */
  readonly decodeMs: number;
  /** With `skipBelow`: the share of updates of the state that were not computed meanwhile, 0 to 1. */
  readonly skipped?: number;
}

/** The pieces of text as they come; its return value, for those who call `next()` themselves, is the result. */
export type TextStream = AsyncGenerator<string, GenerationResult, void>;

/** How to score a text. */
export interface ScoreOptions {
  /** Reset the state before inputs 0, N, 2N, ...; carried through the whole text unless told otherwise. */
  readonly window?: number;
  /** Ends it within a chunk of the text by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Called while the text is read, with its tokens. */
  readonly onProgress?: (progress: Progress) => void;
  /** The logits of every token, f32 `[rows, vocabSize]` piece by piece, in order; valid during the call. */
  readonly onLogits?: (start: number, logits: Float32Array) => void | Promise<void>;
}

/** How well a model predicts a text. `nats / scored` is the mean; its exponential is the perplexity. */
export interface ScoreResult {
  /** Of the text. */
  readonly tokens: number;
  /** Tokens that were predicted: all but the first. */
  readonly scored: number;
  /** Sum of -ln p(token | tokens before). */
  readonly nats: number;
  /** As in {@link GenerationResult}. */
  readonly skipped?: number;
}

/** How to render a conversation. */
export interface ChatOptions extends RenderChatOptions {
  /** A Jinja template in place of the model's own. */
  readonly template?: string;
}

/** A model that is ready to run, in this thread or in a worker. */
export interface MambaModel {
  /** What was loaded, from where, onto what. */
  readonly info: ModelInfo;
  /** Generates text from a prompt (or from token ids), piece by piece. */
  stream(prompt: string | readonly number[], options?: GenerateOptions): TextStream;
  /** The same, all at once. */
  generate(prompt: string | readonly number[], options?: GenerateOptions): Promise<GenerationResult>;
  /** How well the model predicts a text (or token ids). */
  score(text: string | readonly number[], options?: ScoreOptions): Promise<ScoreResult>;
  /** A text that grows turn by turn, with its state: forked, undone, saved. */
  createSession(options?: SessionOptions): Promise<Session>;
  /**
   * Reads what `Session.save` wrote. Throws `SESSION_FORMAT` for mangled bytes, `SESSION_VERSION`, and `STATE_MODEL` or
   * `STATE_ADAPTER` where another model, dtype or adapter made it.
   */
  loadSession(bytes: Uint8Array, options?: LoadSessionOptions): Promise<Session>;
  /**
   * What a text (or token ids) of at most 512 tokens does to the state of each layer, token by token: see
   * `@mamba-ts/lab`, which draws the report as well. Throws `INSPECT_TEXT`, `INSPECT_MODEL`, `INSPECT_RANGE`,
   * `INSPECT_NUMBERS`.
   */
  inspect(text: string | readonly number[], options?: InspectOptions): Promise<InspectReport>;
  /**
   * The text of a conversation as the model was taught to read it, by its own chat template; give it to `stream`,
   * `generate` or a session. The template runs where it can be killed. Throws `NO_CHAT_TEMPLATE`, and the
   * `CHAT_TEMPLATE*` errors of `renderChatTemplate` in `@mamba-ts/tokenizer`.
   */
  renderChat(messages: readonly ChatMessage[], options?: ChatOptions): Promise<string>;
  /** Token ids of a text. Throws `NO_TOKENIZER` where the folder has no tokenizer.json. */
  tokenize(text: string): Promise<number[]>;
  /** The text of token ids. Throws `NO_TOKENIZER`, and `TOKENIZER_ARGUMENT` for what cannot be an id. */
  detokenize(ids: readonly number[]): Promise<string>;
  /** Bytes in use now. */
  memory(): Promise<MemoryUse>;
  /** Frees the weights and ends the worker. */
  dispose(): Promise<void>;
}
