import { createWasmBackend } from '@mamba-ts/kernels';
import { conformanceSuite } from '@mamba-ts/tensor/testing';
import { describe, expect, test } from 'vitest';
import { VARIANTS } from './builds.ts';

for (const { name, ...options } of VARIANTS) {
  conformanceSuite({ name, create: () => createWasmBackend(options) }, { describe, test, expect });
}
