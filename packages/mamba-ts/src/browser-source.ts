import { type OpenedModel, openFiles, openModel, openUrl } from '@mamba-ts/loaders';
import type { WireSource } from './serve-model.ts';

/** A folder's address (where config.json and the weights lie), or the files of a folder. */
export async function openBrowserSource(source: WireSource, signal?: AbortSignal): Promise<OpenedModel> {
  return openModel(typeof source === 'string' ? openUrl(source) : openFiles(source), signal);
}
