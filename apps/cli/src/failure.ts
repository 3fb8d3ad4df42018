import { styleText } from 'node:util';
import { isMambaError } from '@mamba-ts/tensor';
import { visible } from './terminal.ts';

/** A mistake in how the command was called: exit code 2. */
export class UsageError extends Error {}

/** Tells the error on stderr and sets the exit code: 130 interrupted, 2 usage, 1 anything else. */
export function failWith(error: unknown): void {
  if (error === INTERRUPTED) {
    process.exitCode = 130;
    return;
  }
  const usage = error instanceof UsageError || isMambaError(error, 'INVALID_OPTION');
  const known = usage || isMambaError(error);
  const text = error instanceof Error ? (known ? error.message : (error.stack ?? error.message)) : String(error);
  process.stderr.write(`${styleText('red', 'mamba:', { stream: process.stderr })} ${visible(text)}\n`);
  process.exitCode = usage ? 2 : 1;
}

/** The reason with which Ctrl-C aborts. */
export const INTERRUPTED: unique symbol = Symbol('interrupted');

/** Runs `work` with a signal that Ctrl-C aborts; a second Ctrl-C ends the process at once. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort(INTERRUPTED);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    return await work(controller.signal);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}
