import { randomUUID } from 'node:crypto';
import { link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { MambaError } from '@mamba-ts/tensor';
import { pause } from '../hub/request.ts';
import { fileError, systemCode } from './system.ts';

/** The holder touches its lock this often; one that was not touched for much longer is of a process that died. */
const BEAT_MS = 2_000;
const STALE_MS = 30_000;
const POLL_MS = 100;

interface Holder {
  readonly pid: number;
  readonly host: string;
  readonly token: string;
}

/** A lock that is held. */
export interface Held {
  /** Aborted with `HUB_LOCK` where the lock was lost: this process slept so long that it passed for dead. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

/**
 * Waits for a lock among processes: a file that only one can make. That of a process that has died is taken over: at once
 * on the same machine, after 30 s where the cache is shared by several. `onWait` is called once, before waiting. Throws
 * `FILE_WRITE`, and the signal's reason.
 */
export async function lock(path: string, onWait?: () => void, signal?: AbortSignal): Promise<Held> {
  const own: Holder = { pid: process.pid, host: hostname(), token: randomUUID() };
  let waiting = false;
  try {
    await mkdir(dirname(path), { recursive: true });
    for (;;) {
      signal?.throwIfAborted();
      if (await create(path, own)) return hold(path, own);
      if (await isStale(path)) await removeStale(path);
      else {
        if (!waiting) onWait?.();
        waiting = true;
        await pause(POLL_MS, signal);
      }
    }
  } catch (error) {
    throw systemCode(error) ? fileError(path, 'written', error) : error;
  }
}

/** Written under another name and linked: it is never seen half written. */
async function create(path: string, own: Holder): Promise<boolean> {
  const temporary = `${path}.${own.token}`;
  await writeFile(temporary, JSON.stringify(own), { flag: 'wx' });
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EEXIST') return false;
    // A file system without hard links.
    try {
      await writeFile(path, JSON.stringify(own), { flag: 'wx' });
      return true;
    } catch (second) {
      if (systemCode(second) === 'EEXIST') return false;
      throw second;
    }
  } finally {
    await rm(temporary, { force: true });
  }
}

async function isStale(path: string): Promise<boolean> {
  let age: number;
  try {
    age = Date.now() - (await stat(path)).mtimeMs;
  } catch {
    return false; // released meanwhile
  }
  const holder = await readHolder(path);
  if (holder?.host === hostname() && !isAlive(holder.pid)) return true;
  return age > STALE_MS;
}

async function readHolder(path: string): Promise<Holder | null> {
  try {
    const holder = JSON.parse(await readFile(path, 'utf8')) as Partial<Holder> | null;
    return Number.isSafeInteger(holder?.pid) && holder!.pid! > 0 ? (holder as Holder) : null;
  } catch {
    return null;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === 'EPERM'; // alive, and somebody else's
  }
}

/** Two processes may both find it stale, and the slower one must not remove the lock that the faster one made since. */
async function removeStale(path: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return; // another one was faster
  }
  if (!(await isStale(aside))) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

function hold(path: string, own: Holder): Held {
  const lost = new AbortController();
  const isOwn = async (): Promise<boolean> => (await readHolder(path))?.token === own.token;
  const beat = setInterval(async () => {
    const now = new Date();
    if (await isOwn()) await utimes(path, now, now).catch(() => {});
    else if (!lost.signal.aborted) {
      lost.abort(
        new MambaError('HUB_LOCK', `${path} was taken by another process: this one seemed dead. Pull again.`, { path }),
      );
    }
  }, BEAT_MS);
  beat.unref();
  return {
    lost: lost.signal,
    async release() {
      clearInterval(beat);
      if (await isOwn()) await rm(path, { force: true });
    },
  };
}
