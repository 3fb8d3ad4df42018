import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MambaError } from '@mamba-ts/tensor';
import { type ByteSource, prepareRead, READ_STEP } from '../byte-source.ts';
import { checkFileName } from '../file-name.ts';
import { type ModelFolder, missingFile } from '../folder.ts';
import { type TensorToWrite, writeSafetensors } from '../safetensors/write.ts';
import { fileError, syncFolder } from './system.ts';

/** A path or a `file:` URL as an absolute path. */
export const absolutePath = (path: string | URL): string => resolve(path instanceof URL ? fileURLToPath(path) : path);

/** Opens a regular file for reading. Never waits for the other end of a pipe; directories and devices are refused. */
async function openRegular(path: string): Promise<{ handle: FileHandle; stats: Stats }> {
  let handle: FileHandle;
  try {
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (cause) {
    throw fileError(path, 'opened', cause);
  }
  const stats = await handle.stat();
  if (stats.isFile()) return { handle, stats };
  await handle.close();
  throw new MambaError('FILE_READ', `${path} is ${stats.isDirectory() ? 'a folder' : 'a device or pipe'}, not a file`, {
    file: path,
  });
}

/**
 * A file on disk as a source. No handle stays open between reads, so there is nothing to close; a file that was replaced
 * or written to since it was opened throws `FILE_CHANGED`. Throws `FILE_MISSING` and `FILE_READ`.
 */
export async function openFile(path: string | URL): Promise<ByteSource> {
  const absolute = absolutePath(path);
  const name = basename(absolute);
  const { handle, stats: original } = await openRegular(absolute);
  await handle.close();
  const source: ByteSource = {
    name,
    size: original.size,
    async read(offset, length, options) {
      const out = prepareRead(source, offset, length, options);
      const { handle, stats } = await openRegular(absolute);
      try {
        const same =
          stats.size === original.size &&
          stats.mtimeMs === original.mtimeMs &&
          stats.ino === original.ino &&
          stats.dev === original.dev;
        if (!same) throw changed(absolute, `it had ${original.size} bytes and has ${stats.size}, or was written to`);
        for (let done = 0; done < length; ) {
          options?.signal?.throwIfAborted();
          const step = Math.min(READ_STEP, length - done);
          const { bytesRead } = await handle.read(out, done, step, offset + done);
          if (bytesRead === 0) throw changed(absolute, `it ends at byte ${offset + done}`);
          done += bytesRead;
        }
        options?.signal?.throwIfAborted();
      } catch (error) {
        if ((error as { syscall?: unknown }).syscall !== undefined) throw fileError(absolute, 'read', error);
        throw error;
      } finally {
        await handle.close();
      }
      return out;
    },
  };
  return source;
}

function changed(path: string, how: string): MambaError {
  return new MambaError('FILE_CHANGED', `${path} changed while it was read: ${how}. Load it again from the start.`, {
    file: path,
  });
}

/**
 * A directory as a model folder. Links are followed (the Hugging Face cache consists of them), names are plain. Throws
 * `FILE_MISSING` where it does not exist and `FILE_READ` where it is no directory.
 */
export async function openFolder(path: string | URL): Promise<ModelFolder> {
  const absolute = absolutePath(path);
  let stats: Stats;
  try {
    stats = await stat(absolute);
  } catch (cause) {
    throw fileError(absolute, 'opened', cause);
  }
  if (!stats.isDirectory()) {
    throw new MambaError('FILE_READ', `${absolute} is not a folder. Pass the folder that holds config.json.`, {
      file: absolute,
    });
  }
  const list = async (): Promise<string[]> => {
    try {
      const held = await readdir(absolute, { withFileTypes: true });
      return held
        .filter((entry) => !entry.isDirectory())
        .map(({ name }) => name)
        .sort();
    } catch (cause) {
      throw fileError(absolute, 'listed', cause);
    }
  };
  return {
    name: basename(absolute),
    list,
    async open(file) {
      const full = join(absolute, checkFileName(file, absolute));
      try {
        return await openFile(full);
      } catch (error) {
        if ((error as MambaError).code !== 'FILE_MISSING') throw error;
        throw missingFile(absolute, file, await list());
      }
    },
  };
}

/**
 * Writes a safetensors file by {@link saveFile}. Throws what `writeSafetensors` throws, and what that throws.
 */
export async function saveSafetensors(
  path: string | URL,
  tensors: Iterable<TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
  signal?: AbortSignal,
): Promise<void> {
  await saveFile(path, writeSafetensors(tensors, metadata), signal);
}

/**
 * Writes a file: into a temporary one beside it, flushed to disk, then renamed, so that the path holds the old file or
 * the whole new one at any moment. Where anything fails, the temporary file is removed. Throws `FILE_MISSING` (no such
 * folder), `FILE_WRITE`, and the signal's reason.
 */
export async function saveFile(
  path: string | URL,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  const absolute = absolutePath(path);
  signal?.throwIfAborted();
  const temporary = join(dirname(absolute), `.${basename(absolute)}.${randomUUID()}.tmp`);
  let handle: FileHandle | null = null;
  try {
    handle = await open(temporary, 'wx');
    for await (const piece of pieces) {
      signal?.throwIfAborted();
      for (let done = 0; done < piece.byteLength; ) {
        const { bytesWritten } = await handle.write(piece, done, Math.min(READ_STEP, piece.byteLength - done));
        done += bytesWritten;
        signal?.throwIfAborted();
      }
    }
    await handle.sync();
    await handle.close();
    handle = null;
    await rename(temporary, absolute);
  } catch (error) {
    await handle?.close();
    await rm(temporary, { force: true });
    if ((error as { syscall?: unknown }).syscall !== undefined) throw fileError(absolute, 'written', error);
    throw error;
  }
  await syncFolder(dirname(absolute));
}
