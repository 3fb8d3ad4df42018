import { MambaError } from '@mamba-ts/tensor';
import { Client, type Port } from './rpc.ts';

/** What a page's worker says once it holds the lock of its name, before all else. */
export const LOCKED = 'locked';

/** A client for a worker that has just been started. */
export function clientOf(port: Port, onFailure: (fail: (error: Error) => void) => void): Client {
  const client = new Client(port);
  onFailure((cause) =>
    client.end(
      new MambaError(
        'WORKER_DIED',
        `the worker that ran the model ended: ${cause.message}. Load the model again.`,
        {},
        { cause },
      ),
    ),
  );
  return client;
}
