import { createWasmBackend, createWasmTrainingBackend, type WasmOptions } from '@mamba-ts/kernels';
import { type Backend, MambaError, type TrainingBackend } from '@mamba-ts/tensor';
import type { BackendName } from './types.ts';

type Threads = WasmOptions['threads'];

const factories: Readonly<Record<Exclude<BackendName, 'auto'>, (threads: Threads) => Promise<Backend>>> = {
  reference: async () => (await import('@mamba-ts/tensor/reference')).createReferenceBackend(),
  'wasm-simd': (threads) => createWasmBackend({ build: 'simd', threads }),
  'wasm-relaxed': (threads) => createWasmBackend({ build: 'relaxed', threads }),
};

/** The names that `backend` options take. */
export const backendNames: readonly BackendName[] = ['auto', ...(Object.keys(factories) as BackendName[])];

/**
 * A backend by name, on so many threads (default `auto`: the machine's cores; the reference backend has one). Throws
 * `BACKEND` for a name that is none, `INVALID_OPTION` for a number of threads that is none.
 */
export async function createBackend(name: BackendName = 'auto', threads: number | 'auto' = 'auto'): Promise<Backend> {
  if (name === 'auto') return createWasmBackend({ threads });
  const factory = factories[name];
  if (!factory) throw new MambaError('BACKEND', `no backend is called "${name}"; there are ${backendNames.join(', ')}`);
  return factory(threads);
}

const trainingFactories: Readonly<Record<BackendName, () => Promise<TrainingBackend>>> = {
  auto: () => createWasmTrainingBackend(),
  reference: async () => (await import('@mamba-ts/tensor/reference')).createReferenceBackend(),
  'wasm-simd': () => createWasmTrainingBackend({ build: 'simd' }),
  'wasm-relaxed': () => createWasmTrainingBackend({ build: 'relaxed' }),
};

/** A backend that can train, by the same names. Throws `BACKEND` for a name that is none. */
export async function createTrainingBackend(name: BackendName = 'auto'): Promise<TrainingBackend> {
  const factory = trainingFactories[name];
  if (!factory) throw new MambaError('BACKEND', `no backend is called "${name}"; there are ${backendNames.join(', ')}`);
  return factory();
}
