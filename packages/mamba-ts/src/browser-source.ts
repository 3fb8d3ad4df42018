import { isGguf, type OpenedModel, openFiles, openModel, openUrl, splitName, urlSource } from '@mamba-ts/loaders';
import type { WireSource } from './serve-model.ts';

/** The address of a folder (where config.json and the weights lie) or of a GGUF file, or the files of a folder. */
export async function openBrowserSource(source: WireSource, signal?: AbortSignal): Promise<OpenedModel> {
  return typeof source === 'string' ? openAddress(source, signal) : openModel(openFiles(source), signal);
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
