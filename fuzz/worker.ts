import { readFileSync } from 'node:fs';
import { getHeapStatistics } from 'node:v8';
import { parentPort, workerData } from 'node:worker_threads';
import { type FuzzHooks, fuzz } from './fuzz.ts';
import type { Job } from './pool.ts';
import { targetNamed } from './targets/index.ts';
import { truncate } from './truncate.ts';

// A thread of the pool: does the jobs that it is sent, and shows which mutant it is at.

const { target: name, seed, shown } = workerData as { target: string; seed: number; shown: SharedArrayBuffer };
/** The mutant's number, and when it began in milliseconds of `Date.now()`. */
const at = new Float64Array(shown);
const target = await targetNamed(name);

const hooks: FuzzHooks = {
  onStart(index) {
    at[1] = Date.now();
    at[0] = index;
  },
  allocated() {
    const { used_heap_size, external_memory } = getHeapStatistics();
    return used_heap_size + external_memory;
  },
  now() {
    const { user, system } = process.threadCpuUsage();
    return (user + system) / 1000;
  },
};

parentPort!.on('message', async ({ from, to, truncated }: Job) => {
  const tally =
    truncated === undefined
      ? await fuzz(target, seed, from, to, hooks)
      : await truncate(target, new Uint8Array(readFileSync(truncated)), from, to, hooks);
  at[0] = -1;
  parentPort!.postMessage(tally);
});
parentPort!.postMessage('ready');
