import type { Backend } from '@mamba-ts/tensor';
import { createBackend } from './backend.ts';
import type { WasmSource } from './instance.ts';
import { type Limits, measureLimits } from './limits.ts';
import { type SelectiveScanInput, type SelectiveScanOutput, selectiveScan } from './selective-scan.ts';

export interface WasmOptions {
  /** The module, where it does not lie beside this package's files: bytes, a compiled module, an address, a response. */
  readonly wasm?: WasmSource | undefined;
}

/** What this package offers; its two entries differ only in where the module's bytes come from. */
export interface KernelsApi {
  /** A backend on WebAssembly SIMD. Throws `WASM_UNSUPPORTED` where the engine has none, `WASM_MISSING`. */
  createWasmBackend(options?: WasmOptions): Promise<Backend>;
  /** What one thread of this machine can do in WebAssembly. Takes 512 MiB and about two seconds. */
  measureLimits(options?: WasmOptions): Promise<Limits>;
  /** The selective scan on plain Float32Arrays; see {@link SelectiveScanInput}. Set up once, kept for later calls. */
  selectiveScan(input: SelectiveScanInput): Promise<SelectiveScanOutput>;
}

export function makeApi(load: () => WasmSource): KernelsApi {
  let shared: Promise<Backend> | null = null;
  return {
    createWasmBackend: ({ wasm } = {}) => createBackend(wasm ?? load()),
    measureLimits: ({ wasm } = {}) => measureLimits(wasm ?? load()),
    async selectiveScan(input) {
      shared ??= createBackend(load());
      return selectiveScan(await shared, input);
    },
  };
}
