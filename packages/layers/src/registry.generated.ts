// Made by `pnpm generate:registry` from the folder architectures/. Do not edit.
import type { Architecture } from './architecture.ts';

export const registry: readonly { readonly modelTypes: readonly string[]; load(): Promise<Architecture> }[] = [
  {
    modelTypes: ['gpt_neox'],
    load: () => import('./architectures/gpt_neox.ts').then(({ architecture }) => architecture as Architecture),
  },
  {
    modelTypes: ['llama'],
    load: () => import('./architectures/llama.ts').then(({ architecture }) => architecture as Architecture),
  },
  {
    modelTypes: ['mamba', 'falcon_mamba'],
    load: () => import('./architectures/mamba.ts').then(({ architecture }) => architecture as Architecture),
  },
  {
    modelTypes: ['mamba2'],
    load: () => import('./architectures/mamba2.ts').then(({ architecture }) => architecture as Architecture),
  },
  {
    modelTypes: ['mamba3'],
    load: () => import('./architectures/mamba3.ts').then(({ architecture }) => architecture as Architecture),
  },
];
