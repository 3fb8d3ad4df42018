import { readFile } from 'node:fs/promises';
import { type KernelsApi, makeApi } from './make-api.ts';

export type { WasmBuild, WasmOptions } from './build.ts';
export type { WasmSource } from './instance.ts';
export type { Limits } from './limits.ts';
export type { SelectiveScanInput, SelectiveScanOutput } from './selective-scan.ts';

// Node's fetch does not read files.
const api: KernelsApi = makeApi((build) =>
  readFile(new URL(`../wasm/${build === 'relaxed' ? 'relaxed-simd' : 'simd128'}.wasm`, import.meta.url)),
);

export const createWasmBackend: KernelsApi['createWasmBackend'] = api.createWasmBackend;
export const measureLimits: KernelsApi['measureLimits'] = api.measureLimits;
export const selectiveScan: KernelsApi['selectiveScan'] = api.selectiveScan;
