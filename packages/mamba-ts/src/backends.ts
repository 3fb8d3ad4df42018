import { createWasmBackend, createWasmTrainingBackend } from '@mamba-ts/kernels';
import { type Backend, MambaError, type TrainingBackend } from '@mamba-ts/tensor';
import type { BackendName } from './types.ts';

const factories: Readonly<Record<Exclude<BackendName, 'auto'>, () => Promise<Backend>>> = {
  reference: async () => (await import('@mamba-ts/tensor/reference')).createReferenceBackend(),
  'wasm-simd': () => createWasmBackend({ build: 'simd' }),
  'wasm-relaxed': () => createWasmBackend({ build: 'relaxed' }),
};

/** The names that `backend` options take. */
export const backendNames: readonly BackendName[] = ['auto', ...(Object.keys(factories) as BackendName[])];

/** A backend by name. Throws `BACKEND` for a name that is none. */
export async function createBackend(name: BackendName = 'auto'): Promise<Backend> {
  if (name === 'auto') return createWasmBackend();
  const factory = factories[name];
  if (!factory) throw new MambaError('BACKEND', `no backend is called "${name}"; there are ${backendNames.join(', ')}`);
  return factory();
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
