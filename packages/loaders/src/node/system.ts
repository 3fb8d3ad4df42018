/** What several files of this folder ask of the system. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { MambaError } from '@mamba-ts/tensor';

/** A failed system call as an error of ours. */
export function fileError(path: string, doing: string, cause: unknown): MambaError {
  const code = String((cause as { code?: unknown } | null)?.code ?? cause);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    const missing = doing === 'written' ? dirname(path) : path;
    return new MambaError('FILE_MISSING', `${missing} does not exist`, { file: path }, { cause });
  }
  const remedy =
    code === 'EACCES' || code === 'EPERM' ? ' Check its permissions.' : code === 'ENOSPC' ? ' The disk is full.' : '';
  const kind = doing === 'written' ? 'FILE_WRITE' : 'FILE_READ';
  return new MambaError(kind, `${path} cannot be ${doing} (${code}).${remedy}`, { file: path, code }, { cause });
}

/** `ENOENT` and the like, null for what is no failed system call. */
export const systemCode = (error: unknown): string | null => {
  const { code, syscall } = Object(error) as { code?: unknown; syscall?: unknown };
  return syscall !== undefined && typeof code === 'string' ? code : null;
};

/** Makes a rename last through a power cut. Windows has no such call for folders and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
