import { Worker } from 'node:worker_threads';
import { addTally, emptyTally, type Failure, MEMORY_LIMIT, type Tally } from './fuzz.ts';

/** Mutants `from` to `to` (exclusive), or the file at `truncated` cut after so many bytes. */
export interface Job {
  readonly from: number;
  readonly to: number;
  readonly truncated?: string;
}

export interface PoolOptions {
  readonly seed: number;
  readonly workers: number;
  /** Milliseconds for everything; what is left then stays undone. */
  readonly limitMs?: number;
  /** A mutant that takes longer is a hang: its thread is killed. */
  readonly hangMs?: number;
  readonly onProgress?: (done: Tally) => void;
}

/** Few enough that a job takes about a second, so that the last ones end together. */
const STRETCH = 1000;

/** Everything from 0 to `to`, in jobs. */
export function jobs(to: number, truncated?: string): Job[] {
  return Array.from({ length: Math.ceil(to / STRETCH) }, (_, i) => ({
    from: i * STRETCH,
    to: Math.min(to, (i + 1) * STRETCH),
    ...(truncated !== undefined && { truncated }),
  }));
}

/**
 * MB of heap that a thread may hold: itself (code, seeds, the mutant as text and tree) and the limit for one file. Beyond
 * it the thread dies, which is a failure of the mutant that it was at.
 */
const HEAP_MB = 64 + (MEMORY_LIMIT >> 20);

/** Does `all` against the reader `name`, in threads that are killed when one hangs. */
export async function runPool(name: string, all: readonly Job[], options: PoolOptions): Promise<Tally> {
  const sum = emptyTally();
  const waiting = [...all].reverse();
  const deadline = performance.now() + (options.limitMs ?? Number.POSITIVE_INFINITY);
  const take = (): Job | null => (performance.now() < deadline ? (waiting.pop() ?? null) : null);
  const runner = async (): Promise<void> => {
    for (let first = take(); first; ) {
      const rest = await runThread(name, options, first, take, sum);
      first = rest ?? take();
    }
  };
  await Promise.all(Array.from({ length: options.workers }, runner));
  return sum;
}

/** One thread until there is nothing left to take, or until it broke: then what is left of its job. */
function runThread(
  name: string,
  { seed, hangMs = 20_000, onProgress }: PoolOptions,
  first: Job,
  take: () => Job | null,
  sum: Tally,
): Promise<Job | null> {
  return new Promise((resolve, reject) => {
    const shown = new SharedArrayBuffer(16);
    const at = new Float64Array(shown);
    at[0] = -1;
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { target: name, seed, shown },
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: 32 },
    });
    let job: Job | null = first;
    const end = (then: () => void): void => {
      clearInterval(watchdog);
      worker.removeAllListeners();
      worker.on('error', () => {});
      void worker.terminate().then(then);
    };
    /** The mutant that the thread is at has failed. Those before it in the job count as done, without figures. */
    const broke = (kind: Failure['kind'], message: string): void => {
      const index = at[0]!;
      if (index < 0 || !job) {
        end(() => reject(new Error(`a thread of the pool broke outside of any mutant: ${message}`)));
        return;
      }
      const rest = { ...job, from: index + 1 };
      sum.failures.push({ index, kind, message });
      sum.mutants += rest.from - job.from;
      end(() => resolve(rest.from < rest.to ? rest : null));
    };
    const watchdog = setInterval(() => {
      if (at[0]! >= 0 && Date.now() - at[1]! > hangMs) broke('hang', `not done after ${hangMs} ms`);
    }, 100);
    worker.on('error', (error) => broke('crash', String(error)));
    worker.on('exit', (code) => broke('crash', `the thread ended with ${code}`));
    worker.on('message', (message: 'ready' | Tally) => {
      if (message !== 'ready') {
        addTally(sum, message);
        onProgress?.(sum);
        job = take();
      }
      if (job) worker.postMessage(job);
      else end(() => resolve(null));
    });
  });
}
