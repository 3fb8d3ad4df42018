import { isGguf, type OpenedModel, openFiles, openModel, openUrl, splitName, urlSource } from '@mamba-ts/loaders';
import { withAdapter } from './adapter.ts';
import { type KeptSource, openKept } from './kept-model.ts';
import type { OpenOptions, WireSource } from './serve-model.ts';

/** What crosses to a browser's worker. */
export type BrowserSource = WireSource | KeptSource;

/** The address of a folder (where config.json and the weights lie) or of a GGUF file, files, or what is to be kept. */
export async function openBrowserSource(source: BrowserSource, options: OpenOptions = {}): Promise<OpenedModel> {
  const { adapter, signal } = options;
  const folder = typeof adapter === 'string' ? openUrl(adapter) : adapter && openFiles(adapter);
  return withAdapter(await openBase(source, options), folder, signal);
}

async function openBase(source: BrowserSource, options: OpenOptions): Promise<OpenedModel> {
  if (typeof source === 'string') return openAddress(source, options.signal);
  if ('keep' in source) return openKept(source.keep, options);
  return openModel(openFiles(source), options.signal);
}

export async function openAddress(address: string, signal?: AbortSignal): Promise<OpenedModel> {
  const { pathname } = new URL(address);
  if (!isGguf(pathname)) return openModel(openUrl(address), signal);
  const name = pathname.slice(pathname.lastIndexOf('/') + 1);
  if (!splitName(name)) return openModel(await urlSource(address, { signal }), signal);
  const folder = new URL(address);
  folder.pathname = pathname.slice(0, pathname.lastIndexOf('/') + 1);
  return openModel(openUrl(folder), signal, name);
}
