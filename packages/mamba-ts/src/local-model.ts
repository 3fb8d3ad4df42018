import { generateText, score } from '@mamba-ts/generate';
import { type InspectOptions, type InspectReport, inspect } from '@mamba-ts/lab';
import { type ConfigJson, findArchitecture, type LoadedLanguageModel, loadLanguageModel } from '@mamba-ts/layers';
import type { OpenedModel } from '@mamba-ts/loaders';
import { type Backend, MambaError, type MemoryUse } from '@mamba-ts/tensor';
import {
  type ChatMessage,
  type ChatTemplate,
  type ChatTemplateFiles,
  readChatTemplate,
  renderChatTemplate,
  Tokenizer,
} from '@mamba-ts/tokenizer';
import { createBackend } from './backends.ts';
import { DEFAULT_TEMPERATURE, randomSeed } from './defaults.ts';
import { drain } from './drain.ts';
import { encodePrompt } from './encode-prompt.ts';
import { createSession, loadSession } from './session/open.ts';
import type { LoadSessionOptions, Session, SessionOptions } from './session/types.ts';
import type {
  ChatOptions,
  GenerateOptions,
  GenerationResult,
  LoadOptions,
  MambaModel,
  ModelInfo,
  ScoreOptions,
  ScoreResult,
  TextStream,
} from './types.ts';

/** A model in this thread: the place where all packages meet. */
export class LocalModel implements MambaModel {
  readonly info: ModelInfo;
  /** The model underneath, for those who want states and logits. */
  readonly languageModel: LoadedLanguageModel;
  readonly #tokenizer: Tokenizer | null;
  readonly #chatFiles: ChatTemplateFiles;
  readonly #backend: Backend;

  constructor(
    info: ModelInfo,
    model: LoadedLanguageModel,
    tokenizer: Tokenizer | null,
    chatFiles: ChatTemplateFiles,
    backend: Backend,
  ) {
    this.info = info;
    this.languageModel = model;
    this.#tokenizer = tokenizer;
    this.#chatFiles = chatFiles;
    this.#backend = backend;
  }

  /** Throws `NO_TOKENIZER` where the checkpoint has none. */
  get tokenizer(): Tokenizer {
    if (!this.#tokenizer) {
      throw new MambaError('NO_TOKENIZER', `${this.info.name} has no tokenizer: pass token ids instead of text`);
    }
    return this.#tokenizer;
  }

  async *stream(prompt: string | readonly number[], options: GenerateOptions = {}): TextStream {
    const { onProgress, ...rest } = options;
    const seed = options.seed ?? randomSeed();
    const ids = typeof prompt === 'string' ? encodePrompt(this.tokenizer, prompt) : prompt;
    const pieces = generateText(
      this.languageModel,
      ids,
      this.tokenizer.createDecoder({ continues: prompt.length > 0 }),
      {
        temperature: DEFAULT_TEMPERATURE,
        ...rest,
        seed,
        ...(onProgress ? { onProgress: (progress) => onProgress({ phase: 'prompt', ...progress }) } : {}),
      },
    );
    const skipped = this.#skipped();
    const { text, ids: generated, stopReason, prefillTokens, prefillMs, decodeTokens, decodeMs } = yield* pieces;
    const result = { text, ids: generated, stopReason, seed, prefillTokens, prefillMs, decodeTokens, decodeMs };
    return { ...result, ...skipped() };
  }

  async generate(prompt: string | readonly number[], options: GenerateOptions = {}): Promise<GenerationResult> {
    return drain(this.stream(prompt, options));
  }

  async score(text: string | readonly number[], options: ScoreOptions = {}): Promise<ScoreResult> {
    const { onProgress, ...rest } = options;
    const ids = typeof text === 'string' ? this.tokenizer.encode(text) : text;
    const skipped = this.#skipped();
    const { tokens, scored, nats } = await score(this.languageModel, ids, {
      ...rest,
      ...(onProgress ? { onProgress: (progress) => onProgress({ phase: 'prompt', ...progress }) } : {}),
    });
    return { tokens, scored, nats, ...skipped() };
  }

  /** Begins to count; what is called in the end gives the share since then, where updates are skipped. */
  #skipped(): () => { skipped?: number } {
    const { skipping } = this.languageModel;
    if (!skipping) return () => ({});
    const { updates, skipped } = skipping;
    return () => ({ skipped: (skipping.skipped - skipped) / Math.max(1, skipping.updates - updates) });
  }

  async createSession(options: SessionOptions = {}): Promise<Session> {
    return createSession(this.languageModel, this.tokenizer, options);
  }

  async loadSession(bytes: Uint8Array, options: LoadSessionOptions = {}): Promise<Session> {
    return loadSession(this.languageModel, this.tokenizer, bytes, options);
  }

  async inspect(text: string | readonly number[], options: InspectOptions = {}): Promise<InspectReport> {
    const ids = typeof text === 'string' ? this.tokenizer.encode(text) : text;
    const decoder = this.#tokenizer?.createDecoder();
    const texts = ids.map((id) => decoder?.push(id) ?? `#${id}`);
    return inspect(this.languageModel, ids, { name: this.info.name, texts }, options);
  }

  /** The model's own chat template, null where it has none. Throws `CHAT_TEMPLATE` where what its files hold is none. */
  chatTemplate(): ChatTemplate | null {
    return readChatTemplate(this.#chatFiles);
  }

  /** As {@link MambaModel.renderChat}. */
  async renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Promise<string> {
    const { template, ...rest } = options;
    const own = this.chatTemplate();
    const source = template ?? own?.source;
    if (source === undefined) {
      throw new MambaError(
        'NO_CHAT_TEMPLATE',
        `${this.info.name} has no chat template: pass one as \`template\`, or a text instead of messages`,
      );
    }
    return renderChatTemplate({ source, specialTokens: own?.specialTokens ?? {} }, messages, rest);
  }

  /** As {@link MambaModel.tokenize}. */
  async tokenize(text: string): Promise<number[]> {
    return this.tokenizer.encode(text);
  }

  /** As {@link MambaModel.detokenize}. */
  async detokenize(ids: readonly number[]): Promise<string> {
    return this.tokenizer.decode(ids);
  }

  async memory(): Promise<MemoryUse> {
    return this.#backend.memory();
  }

  async dispose(): Promise<void> {
    try {
      this.languageModel.dispose();
    } finally {
      this.#backend.dispose();
    }
  }
}

/** The tokenizer of an opened checkpoint, null where it has none. Throws `TokenizerError`s. */
export function tokenizerOf(opened: OpenedModel): Tokenizer | null {
  if (opened.tokenizerJson) return Tokenizer.fromJSON(opened.tokenizerJson);
  return opened.tokenizerGguf ? Tokenizer.fromGguf(opened.tokenizerGguf) : null;
}

function chatFilesOf({ tokenizerConfig, chatTemplate, tokenizerGguf }: OpenedModel): ChatTemplateFiles {
  return { tokenizerConfig, jinja: chatTemplate, gguf: tokenizerGguf };
}

/** A template that cannot be read does not stop the model: who asks for it is told. */
function hasChatTemplate(files: ChatTemplateFiles): boolean {
  try {
    return readChatTemplate(files) !== null;
  } catch {
    return true;
  }
}

/** config.json with the ids that end a text: those of generation_config.json count before its own, as in transformers. */
function withEndTokens({ config, generationConfig }: OpenedModel): ConfigJson {
  const end = (generationConfig as ConfigJson | undefined)?.eos_token_id;
  return end === undefined || end === null ? (config as ConfigJson) : { ...(config as ConfigJson), eos_token_id: end };
}

/** Loads an opened checkpoint into this thread. */
export async function loadLocalModel(opened: OpenedModel, options: LoadOptions = {}): Promise<LocalModel> {
  const started = performance.now();
  const { onProgress, signal } = options;
  const architecture = await findArchitecture(opened.config);
  const backend = await createBackend(options.backend, options.threads);
  try {
    const model = await loadLanguageModel(architecture, withEndTokens(opened), opened.weights, backend, {
      signal,
      skipBelow: options.skipBelow,
      initialState: options.state,
      onProgress: onProgress && ((done, total) => onProgress({ phase: 'weights', done, total })),
    });
    const tokenizer = tokenizerOf(opened);
    const chatFiles = chatFilesOf(opened);
    const { modelType, ...summary } = model.summary();
    const info: ModelInfo = {
      name: opened.name,
      architecture: modelType,
      vocabSize: model.vocabSize,
      ...summary,
      chatTemplate: hasChatTemplate(chatFiles),
      files: opened.files,
      backend: backend.describe(),
      loadMs: performance.now() - started,
    };
    return new LocalModel(info, model, tokenizer, chatFiles, backend);
  } catch (error) {
    backend.dispose();
    throw error;
  }
}
