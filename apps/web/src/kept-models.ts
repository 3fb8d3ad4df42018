import { signal } from '@preact/signals';
import { isMambaError, ModelStore, type StoredModel } from 'mamba-ts';

/** Models that the browser keeps for this page; null until it has said so. */
export const keptModels = signal<readonly StoredModel[] | null>(null);

/** Bytes that this page uses and may use, where the browser says so. */
export const space = signal<{ readonly used: number; readonly allowed: number } | null>(null);

/** Looks again at what is kept. Where the browser keeps nothing the list is empty: opening a model says why. */
export async function refreshKept(): Promise<void> {
  try {
    keptModels.value = await (await ModelStore.open()).list();
    const { usage, quota } = await navigator.storage.estimate();
    space.value = usage === undefined || quota === undefined ? null : { used: usage, allowed: quota };
  } catch (error) {
    if (!isMambaError(error, 'STORAGE_UNAVAILABLE')) console.warn('the models that are kept cannot be listed:', error);
    keptModels.value = [];
  }
}

/** Drops a model and what has come of it. Throws `STORAGE_BUSY`. */
export async function removeKept(id: string): Promise<void> {
  await (await ModelStore.open()).remove(id);
  if (lastOpened() === id) rememberOpened(null);
  await refreshKept();
}

const KEY = 'model';

/** The kept model that ran last, to start with it again. */
export function lastOpened(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is off: the page starts with its own model
  }
}

export function rememberOpened(id: string | null): void {
  try {
    if (id === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, id);
  } catch {
    // storage is off: the page starts with its own model
  }
}
