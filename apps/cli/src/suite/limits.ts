import { Worker } from 'node:worker_threads';
import { type Limits, measureLimits, type WasmBuild, type WasmOptions } from '@mamba-ts/kernels';

/** What so many threads of this machine can do together in WebAssembly, each on its own memory. */
export async function limitsOf(
  threads: number,
  signal: AbortSignal,
  build: WasmBuild | 'auto' = 'auto',
): Promise<Limits> {
  signal.throwIfAborted();
  if (threads === 1) return measureLimits({ build });
  const all = await Promise.all(Array.from({ length: threads }, () => inThread(signal, { build, threads })));
  const sum = (pick: (limits: Limits) => number): number => all.reduce((total, limits) => total + pick(limits), 0);
  return {
    readGbS: sum(({ readGbS }) => readGbS),
    f32GflopS: sum(({ f32GflopS }) => f32GflopS),
    dotGopS: sum(({ dotGopS }) => dotGopS),
  };
}

/** `options`: of `measureLimits`; its threads are those that measure at once. */
function inThread(signal: AbortSignal, options: WasmOptions): Promise<Limits> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./limits-worker.js', import.meta.url), { workerData: options });
    const stop = (): void => {
      worker.terminate();
      reject(signal.reason);
    };
    signal.addEventListener('abort', stop);
    const end = (): void => {
      signal.removeEventListener('abort', stop);
      worker.terminate();
    };
    worker.once('message', (limits: Limits) => {
      end();
      resolve(limits);
    });
    worker.once('error', (error) => {
      end();
      reject(error);
    });
  });
}
