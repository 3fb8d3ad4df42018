import type { WasmBuild } from '@mamba-ts/kernels';

/** Every test of kernels runs on each. */
export const BUILDS: readonly WasmBuild[] = ['simd', 'relaxed'];
