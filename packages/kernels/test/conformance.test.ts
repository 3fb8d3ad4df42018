import { createWasmBackend } from '@mamba-ts/kernels';
import { conformanceSuite } from '@mamba-ts/tensor/testing';
import { describe, expect, test } from 'vitest';
import { BUILDS } from './builds.ts';

for (const build of BUILDS) {
  conformanceSuite({ name: `wasm-${build}`, create: () => createWasmBackend({ build }) }, { describe, test, expect });
}
