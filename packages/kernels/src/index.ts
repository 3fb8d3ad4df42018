import { type KernelsApi, makeApi } from './make-api.ts';

export type { WasmSource } from './instance.ts';
export type { Limits } from './limits.ts';
export type { WasmOptions } from './make-api.ts';
export type { SelectiveScanInput, SelectiveScanOutput } from './selective-scan.ts';

// Written out, so that bundlers see the address and take the file along.
const api: KernelsApi = makeApi(() => new URL('../wasm/simd128.wasm', import.meta.url));

export const createWasmBackend: KernelsApi['createWasmBackend'] = api.createWasmBackend;
export const measureLimits: KernelsApi['measureLimits'] = api.measureLimits;
export const selectiveScan: KernelsApi['selectiveScan'] = api.selectiveScan;
