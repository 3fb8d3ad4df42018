import { Worker } from 'node:worker_threads';
import type { Share, ShareResult, Team } from '@mamba-ts/train';
import type { Client } from '../rpc.ts';
import { copyNumbers, type SharedNumbers, shareNumbers, type TrainingWork } from '../serve-training.ts';
import { clientOf } from '../worker-client.ts';

interface Member {
  readonly client: Client;
  readonly worker: Worker;
}

function hire(): Member {
  const worker = new Worker(new URL('./train-worker.ts', import.meta.url));
  const client = clientOf(
    {
      post: (message) => worker.postMessage(message),
      listen: (onMessage) => worker.on('message', onMessage),
    },
    (fail) => {
      worker.on('error', fail);
      worker.on('exit', (code) => fail(new Error(`exit code ${code}`)));
    },
  );
  return { client, worker };
}

/**
 * A team of `threads` worker threads, each with a copy of the model. Whoever is free takes the next share; the results are
 * those of any other team, to the bit. Throws what making the model throws, and `WORKER_DIED`.
 */
export async function createTrainingTeam(threads: number, work: TrainingWork): Promise<Team> {
  const members = Array.from({ length: threads }, hire);
  const dispose = (): void => {
    for (const { worker } of members) void worker.terminate();
  };
  try {
    await Promise.all(members.map(({ client }) => client.call('begin', work)));
  } catch (error) {
    dispose();
    throw error;
  }
  let updated: Promise<unknown> = Promise.resolve();
  let shared: SharedNumbers | null = null;
  return {
    async run(shares, signal) {
      await updated;
      const results: ShareResult[] = new Array(shares.length);
      let next = 0;
      await Promise.all(
        members.map(async ({ client }) => {
          for (let room = 0; next < shares.length; room++) {
            signal?.throwIfAborted();
            const own = next++;
            const share = shares[own] satisfies Share | undefined;
            results[own] = await client.call<ShareResult>('run', { share, room });
          }
        }),
      );
      return results;
    },
    update(values) {
      shared ??= shareNumbers(values);
      copyNumbers(values, shared);
      updated = Promise.all(members.map(({ client }) => client.call('update', shared)));
      // Whether it failed is told by the next run.
      updated.catch(() => {});
    },
    dispose,
  };
}
