import { ModelStore, type OpenedModel, openModel, pullModel, storedId } from '@mamba-ts/loaders';
import type { OpenOptions } from './serve-model.ts';
import type { Progress } from './types.ts';

/** A model that the browser is to keep, so that it opens without a network from then on. */
export interface KeptSource {
  /** A hub id (`org/name`, `org/name@revision`, `org/name:file.gguf`), or the address of a folder or of a GGUF file. */
  readonly keep: string;
}

/** Milliseconds between two reports: a network tells of thousands of pieces a second. */
const REPORT = 100;

/** Opens what is kept under `id` without asking anybody; else downloads it first, going on where an attempt ended. */
export async function openKept(id: string, { signal, onProgress }: OpenOptions): Promise<OpenedModel> {
  const store = await ModelStore.open();
  let folder = await store.folder(storedId(id));
  if (folder) return openModel(folder, signal);
  let last: Progress | undefined;
  const ticking = setInterval(() => {
    if (last) onProgress?.(last);
    last = undefined;
  }, REPORT);
  try {
    folder = await pullModel(store, id, {
      signal,
      onProgress: (done, total) => {
        last = { phase: 'download', done, total };
      },
      onWait: () => {
        last = { phase: 'wait', done: 0, total: 0 };
      },
    });
  } finally {
    clearInterval(ticking);
  }
  return openModel(folder, signal);
}
