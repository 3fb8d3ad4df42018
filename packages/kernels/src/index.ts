import { type KernelsApi, makeApi } from './make-api.ts';

export type { WasmBuild, WasmOptions } from './build.ts';
export type { WasmSource } from './instance.ts';
export type { Limits } from './limits.ts';
export type { SelectiveScanInput, SelectiveScanOutput } from './selective-scan.ts';

// Written out, so that bundlers see the addresses and take the files along.
const api: KernelsApi = makeApi((build) =>
  build === 'relaxed'
    ? new URL('../wasm/relaxed-simd.wasm', import.meta.url)
    : new URL('../wasm/simd128.wasm', import.meta.url),
);

export const createWasmBackend: KernelsApi['createWasmBackend'] = api.createWasmBackend;
export const measureLimits: KernelsApi['measureLimits'] = api.measureLimits;
export const selectiveScan: KernelsApi['selectiveScan'] = api.selectiveScan;
