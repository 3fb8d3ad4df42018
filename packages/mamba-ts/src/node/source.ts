import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isGguf, type OpenedModel, openFiles, openModel, splitName } from '@mamba-ts/loaders';
import { openFile, openFolder } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import { openAddress } from '../browser-source.ts';
import type { WireSource } from '../serve-model.ts';

/** A folder's path or address (`http:`, `file:`), that of a GGUF file, or files. */
export async function openNodeSource(source: WireSource, signal?: AbortSignal): Promise<OpenedModel> {
  if (typeof source !== 'string') return openModel(openFiles(source), signal);
  if (/^https?:/.test(source)) return openAddress(source, signal);
  const path = source.startsWith('file:') ? pathOf(source) : source;
  if (!isGguf(path)) return openModel(await openFolder(path), signal);
  if (splitName(basename(path))) return openModel(await openFolder(dirname(path)), signal, basename(path));
  return openModel(await openFile(path), signal);
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    const { message } = cause as Error;
    throw new MambaError('FILE_MISSING', `${url} names no file here: ${message}`, { file: url }, { cause });
  }
}
