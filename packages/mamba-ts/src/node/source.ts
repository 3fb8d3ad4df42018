import { fileURLToPath } from 'node:url';
import { type OpenedModel, openFiles, openModel, openUrl } from '@mamba-ts/loaders';
import { openFolder } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import type { WireSource } from '../serve-model.ts';

/** A folder's path or address (`http:`, `file:`), or files. */
export async function openNodeSource(source: WireSource, signal?: AbortSignal): Promise<OpenedModel> {
  if (typeof source !== 'string') return openModel(openFiles(source), signal);
  if (/^https?:/.test(source)) return openModel(openUrl(source), signal);
  return openModel(await openFolder(source.startsWith('file:') ? pathOf(source) : source), signal);
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    const { message } = cause as Error;
    throw new MambaError('FILE_MISSING', `${url} names no file here: ${message}`, { file: url }, { cause });
  }
}
