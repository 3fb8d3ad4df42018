import type { InspectOptions, InspectReport } from '@mamba-ts/lab';
import { isMambaError, MambaError } from '@mamba-ts/tensor';
import type { ChatMessage } from '@mamba-ts/tokenizer';
import { drain } from './drain.ts';
import { remoteStream } from './remote-stream.ts';
import type { Client } from './rpc.ts';
import type { LoadRequest, Prompt, WireSource } from './serve-model.ts';
import { type OpenedSession, RemoteSession } from './session/remote-session.ts';
import type { LoadSessionOptions, Session, SessionOptions } from './session/types.ts';
import type {
  ChatOptions,
  GenerateOptions,
  GenerationResult,
  LoadOptions,
  MambaModel,
  ModelInfo,
  Progress,
  ScoreOptions,
  ScoreResult,
  TextStream,
} from './types.ts';

/** A worker with a client for it. */
export interface ModelWorker {
  readonly client: Client;
  terminate(): Promise<void>;
}

type ScoreEvent = { readonly start: number; readonly logits: Float32Array } | { readonly progress: Progress };

/** A model in a worker: the same interface, by messages. */
class RemoteModel implements MambaModel {
  readonly info: ModelInfo;
  readonly #worker: ModelWorker;
  #disposed: Promise<void> | null = null;

  constructor(info: ModelInfo, worker: ModelWorker) {
    this.info = info;
    this.#worker = worker;
  }

  stream(prompt: Prompt, options: GenerateOptions = {}): TextStream {
    return remoteStream<GenerationResult>(this.#worker.client, 'generate', { prompt }, options);
  }

  generate(prompt: Prompt, options: GenerateOptions = {}): Promise<GenerationResult> {
    return drain(this.stream(prompt, options));
  }

  async score(text: Prompt, options: ScoreOptions = {}): Promise<ScoreResult> {
    const { onProgress, onLogits, signal, ...rest } = options;
    let delivered: Promise<unknown> = Promise.resolve();
    const stop = new AbortController();
    const result = await this.#worker.client.call<ScoreResult, ScoreEvent>(
      'score',
      { text, options: rest, wantLogits: onLogits !== undefined },
      {
        signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
        onEvent: (event) => {
          if ('progress' in event) return onProgress?.(event.progress);
          delivered = delivered.then(() => onLogits?.(event.start, event.logits));
          delivered.catch((error) => stop.abort(error));
        },
      },
    );
    await delivered;
    return result;
  }

  async createSession(options: SessionOptions = {}): Promise<Session> {
    const { client } = this.#worker;
    return new RemoteSession(client, await client.call<OpenedSession>('session.create', options));
  }

  async loadSession(bytes: Uint8Array, options: LoadSessionOptions = {}): Promise<Session> {
    const { client } = this.#worker;
    return new RemoteSession(client, await client.call<OpenedSession>('session.load', { bytes, options }));
  }

  inspect(text: Prompt, { onProgress, signal, ...options }: InspectOptions = {}): Promise<InspectReport> {
    return this.#worker.client.call<InspectReport, number>(
      'inspect',
      { text, options },
      { signal, onEvent: (share) => onProgress?.(share) },
    );
  }

  renderChat(messages: readonly ChatMessage[], { signal, ...options }: ChatOptions = {}): Promise<string> {
    return this.#worker.client.call('renderChat', { messages, options }, { signal });
  }

  tokenize(text: string): Promise<number[]> {
    return this.#worker.client.call('tokenize', text);
  }

  detokenize(ids: readonly number[]): Promise<string> {
    return this.#worker.client.call('detokenize', [...ids]);
  }

  memory(): ReturnType<MambaModel['memory']> {
    return this.#worker.client.call('memory', null);
  }

  dispose(): Promise<void> {
    this.#disposed ??= this.#end();
    return this.#disposed;
  }

  async #end(): Promise<void> {
    const { client } = this.#worker;
    try {
      await client.call('dispose', null);
    } catch (error) {
      // A worker that has died holds nothing any more.
      if (!isMambaError(error, 'WORKER_DIED')) throw error;
    } finally {
      client.end(new MambaError('DISPOSED', 'this model was disposed'));
      await this.#worker.terminate();
    }
  }
}

/**
 * Loads a checkpoint in `worker`, which knows what `source` and `adapter` mean; where that fails the worker is ended.
 */
export async function loadRemoteModel(
  worker: ModelWorker,
  source: unknown,
  options: LoadOptions,
  adapter: WireSource | undefined,
): Promise<MambaModel> {
  // The rest crosses to the worker: plain values, all of them.
  const { onProgress, signal, worker: _, adapter: __, ...plain } = options;
  try {
    const info = await worker.client.call<ModelInfo, Progress>(
      'load',
      { source, options: plain, adapter } satisfies LoadRequest<unknown>,
      { signal, onEvent: (progress) => onProgress?.(progress) },
    );
    return new RemoteModel(info, worker);
  } catch (error) {
    await worker.terminate();
    throw error;
  }
}
