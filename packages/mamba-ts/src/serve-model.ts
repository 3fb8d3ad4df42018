import type { InspectOptions } from '@mamba-ts/lab';
import type { OpenedModel } from '@mamba-ts/loaders';
import type { ChatMessage } from '@mamba-ts/tokenizer';
import { type LocalModel, loadLocalModel } from './local-model.ts';
import { type Port, serve } from './rpc.ts';
import { sessionHandlers } from './session/serve-sessions.ts';
import type { ChatOptions, GenerateOptions, LoadOptions, Progress, ScoreOptions } from './types.ts';

/** What crosses to the worker to open a checkpoint: anything that structured cloning can carry. */
export type WireSource = string | readonly File[];

/** How the opening of a checkpoint is told of and ended, and what is merged into it. */
export interface OpenOptions {
  /** The folder of an adapter, or its files. */
  readonly adapter?: WireSource | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called while files are downloaded. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Opens a checkpoint where the worker runs. */
export type OpenSource<Source> = (source: Source, options: OpenOptions) => Promise<OpenedModel>;

/** What a worker is asked to load. */
export interface LoadRequest<Source> {
  readonly source: Source;
  readonly options: Omit<LoadOptions, 'adapter'>;
  readonly adapter: WireSource | undefined;
}

export type Prompt = string | readonly number[];

/** The worker's side: one model behind a port. */
export function serveModel<Source>(port: Port, open: OpenSource<Source>): void {
  let model: LocalModel;
  serve(port, {
    ...sessionHandlers(() => model),
    async load({ source, options, adapter }: LoadRequest<Source>, emit, signal) {
      const onProgress = (progress: Progress): void => emit(progress);
      const opened = await open(source, { signal, onProgress, adapter });
      model = await loadLocalModel(opened, { ...options, signal, onProgress });
      return model.info;
    },
    async generate({ prompt, options }: { prompt: Prompt; options: GenerateOptions }, emit, signal) {
      const onProgress = (progress: Progress): void => emit({ progress });
      const stream = model.stream(prompt, { ...options, signal, onProgress });
      for (;;) {
        const step = await stream.next();
        if (step.done) return step.value;
        emit({ piece: step.value });
      }
    },
    async score(
      { text, options, wantLogits }: { text: Prompt; options: ScoreOptions; wantLogits: boolean },
      emit,
      signal,
    ) {
      return model.score(text, {
        ...options,
        signal,
        onProgress: (progress) => emit({ progress }),
        ...(wantLogits ? { onLogits: (start, logits) => emit({ start, logits: logits.slice() }) } : {}),
      });
    },
    inspect: ({ text, options }: { text: Prompt; options: InspectOptions }, emit, signal) =>
      model.inspect(text, { ...options, signal, onProgress: emit }),
    renderChat: ({ messages, options }: { messages: readonly ChatMessage[]; options: ChatOptions }, _emit, signal) =>
      model.renderChat(messages, { ...options, signal }),
    tokenize: (text: string) => model.tokenize(text),
    detokenize: (ids: readonly number[]) => model.detokenize(ids),
    memory: () => model.memory(),
    dispose: () => model.dispose(),
  });
}
