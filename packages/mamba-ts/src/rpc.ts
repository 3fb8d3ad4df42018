import { isMambaError, MambaError } from '@mamba-ts/tensor';

/** What `postMessage` channels have in common, in Node and in browsers. */
export interface Port {
  post(message: unknown): void;
  /** One listener. */
  listen(onMessage: (message: unknown) => void): void;
}

/** Serves one method: `emit` sends events ahead of the answer; `signal` fires when the caller aborts. */
export type Handler = (args: never, emit: (event: unknown) => void, signal: AbortSignal) => Promise<unknown>;

type Request = { id: number; method: string; args: unknown } | { id: number; abort: true };
type Reply = { id: number; event: unknown } | { id: number; value: unknown } | { id: number; error: WireError };

interface WireError {
  readonly name: string;
  readonly message: string;
  readonly code: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

function toWire(error: unknown): WireError {
  const { name = 'Error', message = String(error) } = (error ?? {}) as Partial<Error>;
  // Codes of others, such as Node's, are no codes of ours.
  return isMambaError(error)
    ? { name, message, code: error.code, details: error.details }
    : { name, message, code: null, details: {} };
}

function fromWire({ name, message, code, details }: WireError): Error {
  if (code !== null) return new MambaError(code, message, details);
  return Object.assign(new Error(message), { name });
}

/** Answers calls that come in through `port`. */
export function serve(port: Port, handlers: Readonly<Record<string, Handler>>): void {
  const running = new Map<number, AbortController>();
  port.listen((message) => {
    const request = message as Request;
    if ('abort' in request) {
      running.get(request.id)?.abort();
      return;
    }
    const { id, method, args } = request;
    const controller = new AbortController();
    running.set(id, controller);
    handlers[method]!(args as never, (event) => port.post({ id, event }), controller.signal)
      .then(
        (value) => port.post({ id, value }),
        (error) => port.post({ id, error: toWire(error) }),
      )
      .finally(() => running.delete(id));
  });
}

interface Call {
  readonly onEvent: (event: never) => void;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Calls what {@link serve} offers at the other end. */
export class Client {
  readonly #port: Port;
  readonly #calls = new Map<number, Call>();
  #next = 0;
  #ended: Error | null = null;

  constructor(port: Port) {
    this.#port = port;
    port.listen((message) => {
      const reply = message as Reply;
      const call = this.#calls.get(reply.id);
      if (!call) return;
      if ('event' in reply) {
        try {
          call.onEvent(reply.event as never);
        } catch (error) {
          // The caller's own callback failed: its call fails, as it would without a worker, not the whole program.
          this.#port.post({ id: reply.id, abort: true });
          this.#calls.delete(reply.id);
          call.reject(error);
        }
        return;
      }
      this.#calls.delete(reply.id);
      if ('error' in reply) call.reject(fromWire(reply.error));
      else call.resolve(reply.value as never);
    });
  }

  async call<T, E = never>(
    method: string,
    args: unknown,
    options: { onEvent?: (event: E) => void; signal?: AbortSignal | undefined } = {},
  ): Promise<T> {
    const { signal } = options;
    signal?.throwIfAborted();
    if (this.#ended) throw this.#ended;
    const id = this.#next++;
    const abort = (): void => this.#port.post({ id, abort: true });
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#calls.set(id, { onEvent: options.onEvent ?? (() => {}), resolve, reject });
        this.#port.post({ id, method, args });
      });
    } catch (error) {
      // What the worker throws on abort is a copy; callers expect the very reason they gave.
      signal?.throwIfAborted();
      throw error;
    } finally {
      this.#calls.delete(id);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Fails every open and every later call: the other end has gone. */
  end(error: Error): void {
    this.#ended ??= error;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }
}
