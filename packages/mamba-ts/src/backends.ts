import { createWasmBackend } from '@mamba-ts/kernels';
import { type Backend, MambaError } from '@mamba-ts/tensor';
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
