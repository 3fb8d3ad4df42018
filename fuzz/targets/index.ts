import type { Target } from '../fuzz.ts';

/** The readers under attack, loaded on demand. */
export const targets: Readonly<Record<string, () => Promise<Target>>> = {
  safetensors: () => import('./safetensors.ts').then(({ safetensors }) => safetensors),
  pytorch: () => import('./pytorch.ts').then(({ pytorch }) => pytorch),
  gguf: () => import('./gguf.ts').then(({ gguf }) => gguf),
  'gguf-model': () => import('./gguf-model.ts').then(({ ggufModel }) => ggufModel),
  config: () => import('./config.ts').then(({ config }) => config),
  tokenizer: () => import('./tokenizer.ts').then(({ tokenizer }) => tokenizer),
  adapter: () => import('./adapter.ts').then(({ adapter }) => adapter),
  'tokenizer-gguf': () => import('./tokenizer.ts').then(({ tokenizerGguf }) => tokenizerGguf),
};

/** By name, or from the module at a URL, which exports it as `target`. */
export async function targetNamed(name: string): Promise<Target> {
  if (name.startsWith('file:')) return ((await import(/* @vite-ignore */ name)) as { target: Target }).target;
  const load = Object.hasOwn(targets, name) ? targets[name] : undefined;
  if (!load) throw new Error(`there is no reader "${name}"; known: ${Object.keys(targets).join(', ')}`);
  return load();
}
