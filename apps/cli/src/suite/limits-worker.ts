/** One of the threads of limits.ts. */
import { parentPort, workerData } from 'node:worker_threads';
import { measureLimits } from '@mamba-ts/kernels';

parentPort!.postMessage(await measureLimits(workerData));
