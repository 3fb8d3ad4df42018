import type { Backend, TrainingBackend } from '@mamba-ts/tensor';
import { createBackend } from './backend.ts';
import { type Host, open, type WasmOptions } from './build.ts';
import { type Limits, measureLimits } from './limits.ts';
import { type SelectiveScanInput, type SelectiveScanOutput, selectiveScan } from './selective-scan.ts';

/** What this package offers; its two entries differ only in where modules and workers come from. */
export interface KernelsApi {
  /**
   * A backend on WebAssembly SIMD. Throws `WASM_UNSUPPORTED` where the engine cannot run the asked build,
   * `WASM_MISSING`, `INVALID_OPTION`.
   */
  createWasmBackend(options?: WasmOptions): Promise<Backend>;
  /**
   * The same with gradients, for `@mamba-ts/train`: on one thread, `wide`, weights in f32. Loads its own part of this package
   * when called.
   */
  createWasmTrainingBackend(options?: WasmOptions): Promise<TrainingBackend>;
  /**
   * What one thread of this machine can do with a build, as one of `threads` that measure at once. They take 512 MiB together, or
   * 64 MiB each, and about two seconds.
   */
  measureLimits(options?: WasmOptions): Promise<Limits>;
  /** The selective scan on plain Float32Arrays; see {@link SelectiveScanInput}. Set up once, kept for later calls. */
  selectiveScan(input: SelectiveScanInput): Promise<SelectiveScanOutput>;
}

export function makeApi(host: Host): KernelsApi {
  const create = async (options: WasmOptions): Promise<Backend> => createBackend(await open(options, host));
  let shared: Promise<Backend> | null = null;
  return {
    createWasmBackend: (options = {}) => create(options),
    async createWasmTrainingBackend(options = {}) {
      const opened = await open({ wide: true, ...options, threads: 1 }, host);
      const { createTrainingBackend } = await import('./training/backend.ts');
      return createTrainingBackend(opened);
    },
    measureLimits: async (options = {}) =>
      measureLimits(
        (await open({ ...options, threads: 1 }, host)).kernels,
        options.threads === 'auto' ? 1 : options.threads,
      ),
    async selectiveScan(input) {
      shared ??= create({});
      return selectiveScan(await shared, input);
    },
  };
}
