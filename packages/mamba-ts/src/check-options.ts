import { MambaError } from '@mamba-ts/tensor';
import type { WireSource } from './serve-model.ts';
import type { LoadOptions } from './types.ts';

/** Refuses what is no option: one that is misspelt and ignored is a wrong answer. Throws `UNKNOWN_OPTION`. */
export function checkNames(options: object, known: Readonly<Record<string, true>>, where: string): void {
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(known, option)) continue;
    const names = Object.keys(known);
    const found = JSON.stringify(option).slice(0, 40);
    throw new MambaError('UNKNOWN_OPTION', `${where} has no option ${found}; it has ${names.join(', ')}`, {
      option,
      known: names,
    });
  }
}

const LOAD_OPTIONS: Readonly<Record<keyof LoadOptions, true>> = {
  backend: true,
  threads: true,
  skipBelow: true,
  adapter: true,
  state: true,
  worker: true,
  signal: true,
  onProgress: true,
};

/** Throws `UNKNOWN_OPTION`. */
export const checkLoadOptions = (options: LoadOptions): void => checkNames(options, LOAD_OPTIONS, 'fromPretrained');

/** What was given as a model, fit for a worker; `address` resolves text and URLs. Throws `INVALID_OPTION`. */
export function wireSource(source: unknown, address: (source: string | URL) => string): WireSource {
  if (typeof source === 'string' || source instanceof URL) return address(source);
  const files = typeof source === 'object' && source !== null && Symbol.iterator in source ? [...(source as [])] : null;
  if (files?.every((file: unknown) => file instanceof Blob && 'name' in file)) return files;
  throw new MambaError(
    'INVALID_OPTION',
    'the model must be the path or address of a folder (a string or a URL) or the files of one (File objects), ' +
      `but is ${files ? 'a list of something else' : Object.prototype.toString.call(source)}`,
    { option: 'source' },
  );
}
