import { existsSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  isGguf,
  isHubId,
  type ModelFolder,
  type OpenedModel,
  openFiles,
  openModel,
  openUrl,
  splitName,
} from '@mamba-ts/loaders';
import { openFile, openFolder, openHubModel, type PullOptions } from '@mamba-ts/loaders/node';
import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { withAdapter } from '../adapter.ts';
import { openAddress } from '../browser-source.ts';
import type { OpenOptions, WireSource } from '../serve-model.ts';

/** As for any source; and `onNote` is told that the hub could not be reached and the cache is used. */
export interface OpenNodeOptions extends OpenOptions, Pick<PullOptions, 'onNote'> {}

/**
 * A folder's path or address (`http:`, `file:`), that of a GGUF file, files, or a model of the hub,
 * `ORG/NAME[@REVISION][:FILE]`, which comes into the Hugging Face cache first. What exists as a path is one.
 */
export async function openNodeSource(source: WireSource, options: OpenNodeOptions = {}): Promise<OpenedModel> {
  const opened = await openBase(source, options);
  return withAdapter(opened, await adapterFolder(options.adapter), options.signal);
}

async function adapterFolder(adapter: WireSource | undefined): Promise<ModelFolder | undefined> {
  if (typeof adapter !== 'string') return adapter && openFiles(adapter);
  if (/^https?:/.test(adapter)) return openUrl(adapter);
  return openFolder(adapter.startsWith('file:') ? pathOf(adapter) : adapter);
}

async function openBase(source: WireSource, options: OpenNodeOptions): Promise<OpenedModel> {
  const { signal } = options;
  if (typeof source !== 'string') return openModel(openFiles(source), signal);
  if (/^https?:/.test(source)) return openAddress(source, signal);
  if (isOnHub(source)) return openFromHub(source, options);
  const path = source.startsWith('file:') ? pathOf(source) : source;
  if (!isGguf(path)) return openModel(await openFolder(path), signal);
  if (splitName(basename(path))) return openModel(await openFolder(dirname(path)), signal, basename(path));
  return openModel(await openFile(path), signal);
}

/** `org/model.gguf` is a mistyped path rather than a repository: those of the hub are not named so. */
const isOnHub = (source: string): boolean =>
  isHubId(source) && !/^[^:]*\.(?:gguf|safetensors|bin|pt)$/i.test(source) && !existsSync(source);

async function openFromHub(id: string, options: OpenNodeOptions): Promise<OpenedModel> {
  try {
    return await openHubModel(id, options);
  } catch (error) {
    // Whoever mistypes a folder gets here, too.
    if (!isMambaError(error) || !/^HUB_(?:AUTH|MISSING|NETWORK|OFFLINE)$/.test(error.code)) throw error;
    throw new MambaError(error.code, `${error.message} (There is no folder ${id} here either.)`, error.details, {
      cause: error,
    });
  }
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    const { message } = cause as Error;
    throw new MambaError('FILE_MISSING', `${url} names no file here: ${message}`, { file: url }, { cause });
  }
}
