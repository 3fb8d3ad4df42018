import { MambaError } from '@mamba-ts/tensor';

/** Where a browser keeps named pieces of bytes. Each is written whole or not at all, even if the tab dies. */
export interface Medium {
  /** `opfs`: the origin private file system; `cache`: the Cache API; or what a program of its own brings. */
  readonly kind: string;
  /** The bytes under a path, read when they are asked for; null where there are none. */
  get(path: readonly string[]): Promise<Blob | null>;
  /** Throws `STORAGE_QUOTA` where the browser gives this page no more space. */
  put(path: readonly string[], bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** What lies directly in a folder: names of pieces with their bytes; of folders below it, with null. */
  list(folder: readonly string[]): Promise<Map<string, number | null>>;
  /** Drops a piece, or a folder with all in it. What is not there is no error. */
  remove(path: readonly string[]): Promise<void>;
}

/** What a browser has for keeping files; those of this page unless told otherwise. Absent on plain http. */
export interface BrowserStorage {
  readonly storage?: StorageManager | undefined;
  readonly caches?: CacheStorage | undefined;
  readonly locks?: LockManager | undefined;
}

/** One name for all versions. Not `mamba-...`: the service worker of our web page drops old caches of that name. */
const NAME = 'models-of-mamba-ts';

/** The storage of the page or worker that asks. */
export function browserStorage(): BrowserStorage {
  const { navigator, caches } = globalThis as Partial<typeof globalThis>;
  return { storage: navigator?.storage, caches, locks: navigator?.locks };
}

/**
 * OPFS, or the Cache API where that is missing (or cannot be written piece by piece: Safari before 26). Throws
 * `STORAGE_UNAVAILABLE` where the page has neither: on plain http, and in some private windows.
 */
export async function openMedium({ storage, caches }: BrowserStorage = browserStorage()): Promise<Medium> {
  const reasons: string[] = [];
  try {
    if (storage?.getDirectory && 'createWritable' in (globalThis.FileSystemFileHandle?.prototype ?? {})) {
      const root = await (await storage.getDirectory()).getDirectoryHandle(NAME, { create: true });
      return opfsMedium(root, storage);
    }
    reasons.push('files: not offered');
  } catch (cause) {
    reasons.push(`files: ${reasonOf(cause)}`);
  }
  try {
    if (caches) return cacheMedium(await caches.open(NAME), storage);
    reasons.push('cache: not offered');
  } catch (cause) {
    reasons.push(`cache: ${reasonOf(cause)}`);
  }
  throw new MambaError(
    'STORAGE_UNAVAILABLE',
    `this page cannot keep files (${reasons.join('; ')}). Browsers allow it on https and localhost, and not in every ` +
      'private window.',
    { reasons },
  );
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message || cause.name : String(cause));

const isNotFound = (error: unknown): boolean =>
  error instanceof DOMException && (error.name === 'NotFoundError' || error.name === 'TypeMismatchError');

/** Bytes that this page may still store; null where the browser does not say. */
export async function freeBytes(storage: StorageManager | undefined): Promise<number | null> {
  const { quota, usage } = (await storage?.estimate?.()) ?? {};
  return quota === undefined || usage === undefined ? null : Math.max(0, quota - usage);
}

/** `STORAGE_QUOTA`: what is needed, what there is, and what to do. Bytes; `available` null where the browser is silent. */
export function quotaError(needed: number, available: number | null, cause?: unknown): MambaError {
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString('en-US')} MB`;
  const space = available === null ? 'less' : megabytes(available);
  return new MambaError(
    'STORAGE_QUOTA',
    `${megabytes(needed)} must still be stored, and the browser allows this page ${space}. Remove models that are no ` +
      'longer needed, or free space on the disk: a page gets a share of what is free. What has come so far is kept.',
    { needed, available },
    { cause },
  );
}

/** Tells a full disk from all other failures. */
async function writing(storage: StorageManager | undefined, bytes: number, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (cause) {
    if ((cause as { name?: unknown } | null)?.name !== 'QuotaExceededError') throw cause;
    // Some browsers name a round figure, whatever the disk has: one that has just proved wrong is not told.
    const free = await freeBytes(storage);
    throw quotaError(bytes, free !== null && free < bytes ? free : null, cause);
  }
}

/** Pieces as files: `createWritable` writes beside the file and takes its place when it is closed. */
export function opfsMedium(root: FileSystemDirectoryHandle, storage?: StorageManager): Medium {
  async function folder(path: readonly string[], create: boolean): Promise<FileSystemDirectoryHandle> {
    let at = root;
    for (const name of path) at = await at.getDirectoryHandle(name, { create });
    return at;
  }
  async function ifThere<T>(run: () => Promise<T>, otherwise: T): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (isNotFound(error)) return otherwise;
      throw error;
    }
  }
  return {
    kind: 'opfs',
    get: (path) =>
      ifThere(async () => (await (await folder(path.slice(0, -1), false)).getFileHandle(path.at(-1)!)).getFile(), null),
    put: (path, bytes) =>
      writing(storage, bytes.byteLength, async () => {
        const file = await (await folder(path.slice(0, -1), true)).getFileHandle(path.at(-1)!, { create: true });
        const stream = await file.createWritable();
        try {
          await stream.write(bytes);
        } catch (error) {
          await stream.abort().catch(() => {});
          throw error;
        }
        await stream.close();
      }),
    list: (path) =>
      ifThere(async () => {
        const found = new Map<string, number | null>();
        for await (const [name, handle] of (await folder(path, false)).entries()) {
          found.set(name, handle.kind === 'file' ? (await (handle as FileSystemFileHandle).getFile()).size : null);
        }
        return found;
      }, new Map()),
    remove: (path) =>
      ifThere(async () => {
        await (await folder(path.slice(0, -1), false)).removeEntry(path.at(-1)!, { recursive: true });
      }, undefined),
  };
}

/** Pieces as answers to requests that nobody sends: the host does not exist. */
export function cacheMedium(cache: Cache, storage?: StorageManager): Medium {
  const address = (path: readonly string[]): string =>
    `https://models.invalid/${path.map((name) => encodeURIComponent(name)).join('/')}`;
  const below = async (path: readonly string[]): Promise<Request[]> => {
    const prefix = path.length === 0 ? address(path) : `${address(path)}/`;
    return (await cache.keys()).filter(({ url }) => url.startsWith(prefix));
  };
  return {
    kind: 'cache',
    get: async (path) => (await (await cache.match(address(path)))?.blob()) ?? null,
    put: (path, bytes) =>
      writing(storage, bytes.byteLength, () =>
        cache.put(address(path), new Response(bytes, { headers: { 'content-length': String(bytes.byteLength) } })),
      ),
    async list(path) {
      const depth = path.length;
      const found = new Map<string, number | null>();
      for (const request of await below(path)) {
        const names = new URL(request.url).pathname.slice(1).split('/').map(decodeURIComponent);
        if (names.length > depth + 1) found.set(names[depth]!, null);
        else found.set(names[depth]!, Number((await cache.match(request))?.headers.get('content-length')));
      }
      return found;
    },
    async remove(path) {
      await cache.delete(address(path));
      for (const request of await below(path)) await cache.delete(request);
    },
  };
}
