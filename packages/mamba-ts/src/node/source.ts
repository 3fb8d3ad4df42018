import { fileURLToPath } from 'node:url';
import { type OpenedModel, openFiles, openModel, openUrl } from '@mamba-ts/loaders';
import { openFolder } from '@mamba-ts/loaders/node';
import type { WireSource } from '../serve-model.ts';

/** A folder's path or address (`http:`, `file:`), or files. */
export async function openNodeSource(source: WireSource, signal?: AbortSignal): Promise<OpenedModel> {
  if (typeof source !== 'string') return openModel(openFiles(source), signal);
  if (/^https?:/.test(source)) return openModel(openUrl(source), signal);
  return openModel(await openFolder(source.startsWith('file:') ? fileURLToPath(source) : source), signal);
}
