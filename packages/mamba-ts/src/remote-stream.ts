import type { Client } from './rpc.ts';
import type { GenerateOptions, Progress } from './types.ts';

type StreamEvent = { readonly piece: string } | { readonly progress: Progress };

/** A method of the worker that emits pieces of text, as an iterator: its return value is the method's. */
export async function* remoteStream<R>(
  client: Client,
  method: string,
  args: Readonly<Record<string, unknown>>,
  options: GenerateOptions,
): AsyncGenerator<string, R, void> {
  const { onProgress, signal, ...rest } = options;
  const stop = new AbortController();
  const pieces: string[] = [];
  let wake = (): void => {};
  let outcome: { readonly value: R } | { readonly error: unknown } | null = null;
  const ended = client
    .call<R, StreamEvent>(
      method,
      { ...args, options: rest },
      {
        signal: signal ? AbortSignal.any([signal, stop.signal]) : stop.signal,
        onEvent: (event) => {
          if ('progress' in event) onProgress?.(event.progress);
          else pieces.push(event.piece);
          wake();
        },
      },
    )
    .then(
      (value) => {
        outcome = { value };
      },
      (error) => {
        outcome = { error };
      },
    )
    .finally(() => wake());
  // Assigned in callbacks, which the compiler does not follow.
  const outcomeNow = (): { readonly value: R } | { readonly error: unknown } | null => outcome;
  try {
    for (;;) {
      while (pieces.length > 0) yield pieces.shift()!;
      const now = outcomeNow();
      if (now && 'error' in now) throw now.error;
      if (now) return now.value;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    // A consumer that leaves early stops the worker too; it is idle again when this returns.
    stop.abort();
    await ended;
  }
}
