import { createWasmBackend } from '@mamba-ts/kernels';
import { conformanceSuite } from '@mamba-ts/tensor/testing';
import { describe, expect, test } from 'vitest';

conformanceSuite({ name: 'wasm-simd', create: () => createWasmBackend() }, { describe, test, expect });
