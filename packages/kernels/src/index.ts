import { type KernelsApi, makeApi } from './make-api.ts';

export type { WasmBuild, WasmOptions } from './build.ts';
export type { WasmSource } from './instance.ts';
export type { Limits } from './limits.ts';
export type { SelectiveScanInput, SelectiveScanOutput } from './selective-scan.ts';

// Written out, so that bundlers see the addresses and take the files along.
const api: KernelsApi = makeApi({
  source: (build, threaded) => {
    if (threaded) {
      return build === 'relaxed'
        ? new URL('../wasm/relaxed-simd-threads.wasm', import.meta.url)
        : new URL('../wasm/simd128-threads.wasm', import.meta.url);
    }
    return build === 'relaxed'
      ? new URL('../wasm/relaxed-simd.wasm', import.meta.url)
      : new URL('../wasm/simd128.wasm', import.meta.url);
  },
  startWorker: (start, onEnd) => {
    const worker = new Worker(new URL('./pool-worker.ts', import.meta.url), { type: 'module' });
    worker.addEventListener('error', ({ message }) => onEnd(message || 'its script cannot be loaded'));
    worker.postMessage(start);
    return worker;
  },
  widen: () => false,
  // Browsers tell threads, of which most machines have two per core.
  cores: () => (navigator.hardwareConcurrency > 2 ? navigator.hardwareConcurrency >> 1 : navigator.hardwareConcurrency),
});

/**
 * A `Backend` on WebAssembly SIMD with a memory of its own, at most 4 GiB. Throws `WASM_UNSUPPORTED` where the
 * engine cannot run the asked build, `WASM_MISSING` where the module is not found, `INVALID_OPTION`.
 */
export const createWasmBackend: KernelsApi['createWasmBackend'] = api.createWasmBackend;
/**
 * A `TrainingBackend` on WebAssembly SIMD: `createWasmBackend` with gradients, on one thread. Throws as that does.
 */
export const createWasmTrainingBackend: KernelsApi['createWasmTrainingBackend'] = api.createWasmTrainingBackend;
/**
 * What one thread of this machine can do with a build: GB/s of reading, GFLOP/s of f32. Takes 512 MiB and about two
 * seconds; throws as `createWasmBackend` does.
 */
export const measureLimits: KernelsApi['measureLimits'] = api.measureLimits;
/**
 * The selective scan of Mamba-1 on plain Float32Arrays, in SIMD (Gu & Dao 2023, algorithm 2; state-spaces/mamba
 * selective_scan_ref): `h = exp(d A) h + d B u; y = (C h + D u) silu(z)`, with `d = softplus(delta + deltaBias)`.
 * Shapes as in {@link SelectiveScanInput}. The kernel is set up by the first call and kept. Throws `SHAPE` where an
 * array has another length than stated, and as `createWasmBackend` does.
 */
export const selectiveScan: KernelsApi['selectiveScan'] = api.selectiveScan;
