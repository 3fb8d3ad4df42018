import { MambaError } from '@mamba-ts/tensor';
import { relaxedSimd } from 'wasm-feature-detect';
import { instantiate, type Kernels, type ThreadedKernels, type WasmSource } from './instance.ts';
import { type StartWorker, WorkerPool } from './pool.ts';

/**
 * The builds of the kernels, from one source: `simd` for every engine since 2023; `relaxed` with relaxed SIMD, whose
 * multiply-adds round once where the processor can (so the last bits depend on it) and cost half. Safari has none.
 */
export type WasmBuild = 'simd' | 'relaxed';

/** Which build runs, on how many threads, and where its module comes from. */
export interface WasmOptions {
  /** `auto`, the default, takes `relaxed` where the engine has it. */
  readonly build?: WasmBuild | 'auto' | undefined;
  /**
   * Threads that share the work, the caller among them: 1, the default, to 64; `auto` for as many as the machine has cores.
   * Results have the same bits for any number. Where memory cannot be shared (a page that is not cross-origin isolated),
   * one thread does all and `describe().note` says so.
   */
  readonly threads?: number | 'auto' | undefined;
  /**
   * Asks the engine to compute on 8 lanes where the code has two neighbouring fours: the same bits, and products of
   * matrices in about half the time. Only Node on x64 can be asked, by a flag of V8 that then holds for the whole process;
   * elsewhere nothing changes. False unless told otherwise, but for backends that train.
   */
  readonly wide?: boolean | undefined;
  /** Multiply-adds that are worth handing to another thread: 16384 unless told otherwise; 1 splits all that can be. */
  readonly grain?: number | undefined;
  /**
   * The module, where it does not lie beside this package's files: bytes, a compiled module, an address, a response; or
   * a function that gives it for the chosen build, with or without threads.
   */
  readonly wasm?: WasmSource | ((build: WasmBuild, threaded: boolean) => WasmSource) | undefined;
}

/** What differs between Node and browsers. */
export interface Host {
  /** The module of a build, from beside this package's files. */
  source(build: WasmBuild, threaded: boolean): WasmSource;
  readonly startWorker: StartWorker;
  /** Asks for 8 lanes: see {@link WasmOptions.wide}. Whether they are to be had. */
  widen(): boolean;
  cores(): number;
}

/** What was opened. */
export interface Opened {
  readonly kernels: Kernels;
  readonly build: WasmBuild;
  readonly pool: WorkerPool | null;
  /** Why there are fewer threads than asked for. */
  readonly note: string | null;
}

/** In the order of the module's `build()`. */
const BUILDS: readonly WasmBuild[] = ['simd', 'relaxed'];
const MAX_THREADS = 64;
/** Some 4 microseconds of a decoding product, about what handing over costs. */
const GRAIN = 16_384;

/** A build that this engine can run. */
async function choose(build: WasmBuild | 'auto'): Promise<WasmBuild> {
  if (build === 'simd') return build;
  const relaxed = await relaxedSimd();
  if (build === 'auto') return relaxed ? 'relaxed' : 'simd';
  if (build !== 'relaxed')
    throw new MambaError('INVALID_OPTION', `build is ${JSON.stringify(build)}, expected auto, ${BUILDS.join(' or ')}`);
  if (!relaxed) {
    throw new MambaError(
      'WASM_UNSUPPORTED',
      'the relaxed build needs WebAssembly relaxed SIMD, which this engine has not (Node 22 and newer, Chrome 114 and ' +
        'Firefox 145 have it). Take the simd build, or auto.',
    );
  }
  return build;
}

/** How many threads run, and why fewer than asked for. */
function countThreads(threads: number | 'auto', host: Host): { threads: number; note: string | null } {
  if (threads !== 'auto' && !(Number.isInteger(threads) && threads >= 1 && threads <= MAX_THREADS)) {
    throw new MambaError(
      'INVALID_OPTION',
      `threads is ${JSON.stringify(threads)}, expected auto or 1 to ${MAX_THREADS}`,
    );
  }
  const count = threads === 'auto' ? Math.min(host.cores(), MAX_THREADS) : threads;
  const { crossOriginIsolated: isolated = true } = globalThis as { crossOriginIsolated?: boolean };
  if (count === 1 || (isolated && typeof SharedArrayBuffer !== 'undefined')) return { threads: count, note: null };
  return {
    threads: 1,
    note:
      `one thread instead of ${count}: this page is not cross-origin isolated, so that threads can share no memory. Serve ` +
      'it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp.',
  };
}

/** A fresh instance of the asked build with its workers, and which build it is: the module itself says so. */
export async function open(
  { build = 'auto', threads = 1, wide = false, grain = GRAIN, wasm }: WasmOptions,
  host: Host,
): Promise<Opened> {
  const given = typeof wasm === 'function' || wasm === undefined ? null : wasm;
  const counted = countThreads(threads, host);
  const threaded = counted.threads > 1;
  const chosen = given ? build : await choose(build);
  const find = typeof wasm === 'function' ? wasm : host.source;
  // Before anything is compiled.
  const joined = wide && host.widen();
  let pool: WorkerPool | null = null;
  const { kernels, module } = await instantiate(given ?? find(chosen as WasmBuild, threaded), (done, round) =>
    pool?.stalled(done, round),
  );
  if (joined) kernels.set_wide(1);
  const bits = kernels.build();
  const found = BUILDS[bits & 1]!;
  if (chosen !== 'auto' && found !== chosen)
    throw new MambaError('INVALID_OPTION', `wasm holds the ${found} build of the kernels, build asks for ${chosen}`);
  if (threaded && (bits & 2) === 0) {
    throw new MambaError(
      'INVALID_OPTION',
      `wasm holds a build of the kernels without threads, threads asks for ${counted.threads}: pass one of the files ` +
        'whose names end in -threads.wasm',
    );
  }
  if (threaded) pool = new WorkerPool(kernels as ThreadedKernels, module, counted.threads, grain, host.startWorker);
  return { kernels, build: found, pool, note: counted.note };
}
