import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MambaError } from '@mamba-ts/tensor';
import { checkFileName } from '../file-name.ts';
import { absolutePath, saveFile } from './files.ts';
import { fileError, syncFolder, systemCode } from './system.ts';

/** A file of a folder to be written. */
export interface FileToSave {
  /** Plain: see `checkFileName`. */
  readonly name: string;
  readonly pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

/**
 * Writes a folder of files: into a temporary one beside it, each file flushed to disk, then renamed, so that the path holds
 * nothing or all of it. Where anything fails, the temporary folder is removed. Throws `FILE_EXISTS` where the path is
 * there and is no empty folder, what {@link saveFile} throws, and `FILE_NAME`.
 */
export async function saveFolder(path: string | URL, files: Iterable<FileToSave>, signal?: AbortSignal): Promise<void> {
  const absolute = absolutePath(path);
  signal?.throwIfAborted();
  await removeEmpty(absolute);
  const temporary = join(dirname(absolute), `.${basename(absolute)}.${randomUUID()}.tmp`);
  try {
    await mkdir(temporary);
    for (const { name, pieces } of files) {
      await saveFile(join(temporary, checkFileName(name, absolute)), pieces, signal);
    }
    await rename(temporary, absolute);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (systemCode(error) !== null) throw fileError(absolute, 'written', error);
    throw error;
  }
  await syncFolder(dirname(absolute));
}

/** Makes way for a folder, where that loses nothing. */
async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw new MambaError('FILE_EXISTS', `${path} is there already and is no empty folder. Pass a new one.`, {
      file: path,
    });
  }
}
