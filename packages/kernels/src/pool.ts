import { MambaError } from '@mamba-ts/tensor';
import type { ThreadedKernels } from './instance.ts';

/** What a worker is told: see `enterPool`. */
export interface PoolStart {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** From 1; 0 is the caller. */
  readonly thread: number;
  /** The address of a word that becomes 1 when the worker ends, whatever the reason. */
  readonly ended: number;
  /** The addresses of its thread-local memory and of its stack's upper end. */
  readonly tls: number;
  readonly stack: number;
}

/** Starts a worker that runs `enterPool(start)`; `onEnd` hears of its end. */
export type StartWorker = (start: PoolStart, onEnd: (reason: string) => void) => { terminate(): void };

const STACK_BYTES = 1 << 20;
/** Before the stack: a cache line for `ended`, and thread-local memory of some 40 bytes. */
const HEAD_BYTES = 4096;

/** So long may pieces of work stay out, in ms; each takes a few at most. */
const LOST_AFTER = 20_000;
/** Milliseconds of one wait, after which it is looked whether a worker has ended. */
const WAIT = 20;
/** Milliseconds between two looks that count at most. */
const LONGEST_LOOK = 1000;

/** Whether this thread may wait: the page's own thread of a browser may not. */
function mayWait(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * The workers of one backend. They run the loop of rust-wasm/src/pool.rs on the backend's memory, each with a stack in it.
 * What they compute is bound to the same bits, so it matters to nobody how many of them have started yet.
 */
export class WorkerPool {
  readonly threads: number;
  readonly #workers: { terminate(): void }[] = [];
  readonly #ended: number[] = [];
  readonly #kernels: ThreadedKernels;
  /** Of the memory as it was at first: all words of the pool lie in it. */
  readonly #words: Int32Array;
  readonly #done: number;
  readonly #mayWait = mayWait();
  #lost: MambaError | null = null;
  #over = false;
  /** Milliseconds that the caller has waited for one piece, and when it last looked. */
  #waited = 0;
  #looked = 0;

  /** `threads` counts the caller; `grain` as in the options. Throws `OUT_OF_MEMORY`. */
  constructor(
    kernels: ThreadedKernels,
    module: WebAssembly.Module,
    threads: number,
    grain: number,
    startWorker: StartWorker,
  ) {
    this.threads = threads;
    this.#kernels = kernels;
    const { memory } = kernels;
    const blocks = Array.from({ length: threads - 1 }, () => kernels.allocate(HEAD_BYTES + STACK_BYTES) >>> 0);
    if (blocks.includes(0))
      throw new MambaError('OUT_OF_MEMORY', `stacks for ${threads} threads do not fit: pass fewer threads`, {
        threads,
      });
    this.#words = new Int32Array(memory.buffer);
    this.#done = kernels.pool_done() / 4;
    for (const [i, block] of blocks.entries()) {
      this.#words.fill(0, block / 4, (block + HEAD_BYTES) / 4);
      this.#ended.push(block / 4);
      const start = {
        module,
        memory,
        thread: i + 1,
        ended: block,
        tls: block + 64,
        stack: block + HEAD_BYTES + STACK_BYTES,
      };
      try {
        this.#workers.push(startWorker(start, (reason) => this.#lose(reason)));
      } catch (cause) {
        this.dispose();
        throw new MambaError(
          'INVALID_OPTION',
          `${threads} threads cannot be started, only ${i + 1} (${(cause as Error).message}): pass fewer threads`,
          { threads },
          { cause },
        );
      }
    }
    kernels.pool_start(threads, grain);
  }

  /** Throws `WORKER_LOST` where a worker has ended before its time. */
  check(): void {
    if (this.#lost) throw this.#lost;
  }

  /** Waits for pieces of work that others have taken. Throws `WORKER_LOST` where they will not come back. */
  stalled(done: number, round: number): void {
    if (this.#ended.some((at) => Atomics.load(this.#words, at) !== 0)) this.#lose('it failed');
    const now = performance.now();
    if (round === 0) [this.#waited, this.#looked] = [0, now];
    // A process that was stopped has not waited meanwhile.
    this.#waited += Math.min(now - this.#looked, LONGEST_LOOK);
    this.#looked = now;
    if (this.#waited > LOST_AFTER) this.#lose(`no answer for ${LOST_AFTER / 1000} s`);
    this.check();
    if (this.#mayWait) Atomics.wait(this.#words, this.#done, done, WAIT);
  }

  #lose(reason: string): void {
    if (this.#over) return;
    this.#lost ??= new MambaError(
      'WORKER_LOST',
      `a worker of the kernels ended before the backend did (${reason}): what was computed last is lost. Dispose of the ` +
        'model or backend and load it again.',
      { reason },
    );
  }

  dispose(): void {
    if (this.#over) return;
    this.#over = true;
    this.#kernels.pool_quit();
    for (const worker of this.#workers) worker.terminate();
  }
}
