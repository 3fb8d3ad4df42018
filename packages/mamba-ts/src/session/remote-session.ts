import { drain } from '../drain.ts';
import { remoteStream } from '../remote-stream.ts';
import type { Client } from '../rpc.ts';
import type { GenerateOptions } from '../types.ts';
import type { ReadingOptions, Session, SessionResult, SessionStats, SessionStream, Turn } from './types.ts';

/** What the worker tells of a session that it opened. */
export interface OpenedSession {
  readonly session: number;
  readonly settings: Session['settings'];
  readonly turns: readonly Turn[];
}

/** A session in a worker: the same interface, by messages. Its turns are kept on both sides. */
export class RemoteSession implements Session {
  readonly settings: Session['settings'];
  readonly #client: Client;
  readonly #session: number;
  #turns: readonly Turn[];

  constructor(client: Client, { session, settings, turns }: OpenedSession) {
    this.#client = client;
    this.#session = session;
    this.settings = settings;
    this.#turns = turns;
  }

  get turns(): readonly Turn[] {
    return this.#turns;
  }

  async append(text: string, { signal, onProgress }: ReadingOptions = {}): Promise<Turn> {
    try {
      return await this.#client.call<Turn, never>(
        'session.append',
        { session: this.#session, text },
        { signal, onEvent: ({ progress }) => onProgress?.(progress) },
      );
    } finally {
      await this.#follow();
    }
  }

  async *stream(text: string, options: GenerateOptions = {}): SessionStream {
    const args = { session: this.#session, text };
    try {
      return yield* remoteStream<SessionResult>(this.#client, 'session.stream', args, options);
    } finally {
      await this.#follow();
    }
  }

  generate(text: string, options: GenerateOptions = {}): Promise<SessionResult> {
    return drain(this.stream(text, options));
  }

  async undo(): Promise<Turn | null> {
    const turn = await this.#call<Turn | null>('session.undo');
    if (turn) this.#turns = this.#turns.slice(0, -1);
    return turn;
  }

  async fork(): Promise<Session> {
    const { session, settings } = await this.#call<OpenedSession>('session.fork');
    return new RemoteSession(this.#client, { session, settings, turns: this.#turns });
  }

  save(): Promise<Uint8Array> {
    return this.#call('session.save');
  }

  ids(): Promise<number[]> {
    return this.#call('session.ids');
  }

  stats(): Promise<SessionStats> {
    return this.#call('session.stats');
  }

  dispose(): Promise<void> {
    return this.#call('session.dispose');
  }

  #call<T>(method: string): Promise<T> {
    return this.#client.call<T>(method, { session: this.#session });
  }

  /** Takes over the turn that a call has added, also where the call was aborted. */
  async #follow(): Promise<void> {
    const from = this.#turns.length;
    const added = await this.#client
      .call<readonly Turn[]>('session.turns', { session: this.#session, from })
      // The call before has told already why the worker cannot answer.
      .catch(() => []);
    this.#turns = [...this.#turns, ...added];
  }
}
