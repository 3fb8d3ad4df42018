import type { WasmBuild, WasmOptions } from '@mamba-ts/kernels';

export const BUILDS: readonly WasmBuild[] = ['simd', 'relaxed'];

/** Every test of kernels runs on each: all that can be split is, over more threads than small machines have cores. */
export const VARIANTS: readonly (WasmOptions & { readonly name: string; readonly build: WasmBuild })[] = BUILDS.flatMap(
  (build) => [
    { name: `wasm-${build}`, build },
    { name: `wasm-${build} on 3 threads`, build, threads: 3, grain: 1 },
  ],
);
