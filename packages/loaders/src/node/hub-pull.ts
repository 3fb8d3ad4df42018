import { createHash } from 'node:crypto';
import { mkdir, rm, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { chooseFiles } from '../hub/choose.ts';
import { type HubId, hubIdText, parseHubId } from '../hub/id.ts';
import { expectedFile, type HubFile, type HubListing, listHub } from '../hub/listing.ts';
import type { HubOptions } from '../hub/request.ts';
import type { Hasher } from '../hub/sha256.ts';
import { type TransferOptions, transfer } from '../hub/transfer.ts';
import { type OpenedModel, openModel } from '../model.ts';
import { openFolder } from './files.ts';
import { HubCache, sizeOf } from './hub-cache.ts';
import { hubEnvironment } from './hub-environment.ts';
import { lock } from './hub-lock.ts';
import { DiskPart } from './hub-part.ts';

export interface PullOptions extends HubOptions, Pick<TransferOptions, 'connections' | 'chunkBytes'> {
  /** The cache's folder; that of {@link hubEnvironment} unless given, as are `endpoint`, `token` and `offline`. */
  readonly cache?: string | undefined;
  /** Ask nobody: what is in the cache must do. */
  readonly offline?: boolean | undefined;
  /** The least precise weights that serve, as in `chooseFiles`. */
  readonly dtype?: string | undefined;
  /** `wait`: another process downloads the same file. Bytes of all files, those that were there included. */
  readonly onProgress?: ((progress: { phase: 'wait' | 'download'; done: number; total: number }) => void) | undefined;
  /** Told what one may want to know: that the hub could not be reached and the cache is used. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/** A model in the cache, with all its files. */
export interface PulledModel {
  /** The shortest id that means these files: with `:FILE` for a GGUF file. */
  readonly id: string;
  readonly commit: string;
  /** The folder that its files lie in. Absolute. */
  readonly folder: string;
  /** The GGUF file to open, of several parts the first; absent for a folder in Hugging Face layout. Absolute. */
  readonly gguf?: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
  /** Bytes that were not there before. */
  readonly downloaded: number;
}

/**
 * Brings a model, `ORG/NAME[@REVISION][:FILE]`, into the cache that is shared with Python, with the fewest bytes that
 * serve. What came of an earlier attempt is kept, two processes share one download, and a file appears under its name only
 * when it is whole and its hash is right.
 *
 * Throws `HUB_ID`, `HUB_OFFLINE` (not in the cache, and nobody may be asked), `HUB_FILE` (no weights that are read here),
 * `FILE_NAME` (a name that would leave the cache), `HUB_SPACE`, `FILE_WRITE`, what `listHub` and `transfer` throw, and the
 * signal's reason.
 */
export async function pullModel(text: string, options: PullOptions = {}): Promise<PulledModel> {
  const id = parseHubId(text);
  const environment = hubEnvironment();
  const cache = new HubCache(options.cache ?? environment.cache);
  const settings = {
    ...options,
    endpoint: options.endpoint ?? environment.endpoint,
    token: options.token ?? environment.token,
  };
  if (options.offline ?? environment.offline) return fromCache(cache, id, options);
  const cached = await fromCache(cache, id, options).catch(() => null);
  let listing: HubListing;
  try {
    // With something to fall back on, little patience.
    const patience = cached ? { ...options.patience, attempts: 2 } : options.patience;
    listing = await listHub(id, { ...settings, patience });
  } catch (error) {
    if (!cached || !(isMambaError(error, 'HUB_NETWORK') || isMambaError(error, 'HUB_BUSY'))) throw error;
    options.onNote?.(`${error.message} Meanwhile the copy in the cache is used.`);
    return cached;
  }
  return download(cache, id, listing, settings);
}

async function fromCache(cache: HubCache, id: HubId, { dtype }: PullOptions): Promise<PulledModel> {
  const commit = await cache.commitOf(id.repo, id.revision);
  const files = commit === null ? [] : await cache.files(id.repo, commit).catch(() => []);
  if (commit === null || files.length === 0) {
    throw new MambaError(
      'HUB_OFFLINE',
      `${hubIdText(id)} is not in the cache ${cache.root}, and the hub may not be asked (offline). Pull it while online.`,
      { id: hubIdText(id), cache: cache.root },
    );
  }
  const chosen = chooseFiles(files, id.repo, { file: id.file, dtype });
  return pulled(cache, id, commit, chosen, 0);
}

function pulled(
  cache: HubCache,
  id: HubId,
  commit: string,
  { files, gguf, folder }: ReturnType<typeof chooseFiles>,
  downloaded: number,
): PulledModel {
  const root = cache.snapshot(id.repo, commit);
  return {
    id: hubIdText(gguf === undefined ? id : { ...id, file: gguf }),
    commit,
    folder: join(root, folder),
    ...(gguf !== undefined && { gguf: join(root, gguf) }),
    files: files.map(({ path, size }) => ({ path, size })),
    downloaded,
  };
}

async function download(cache: HubCache, id: HubId, listing: HubListing, options: PullOptions): Promise<PulledModel> {
  const { repo, commit } = listing;
  const chosen = chooseFiles(listing.files, repo, { file: id.file, dtype: options.dtype });
  const total = chosen.files.reduce((sum, { size }) => sum + size, 0);
  const missing: HubFile[] = [];
  for (const file of chosen.files) {
    if ((await cache.sizeOf(repo, commit, file.path)) !== file.size) missing.push(file);
  }
  // Small ones first: what is wrong with them is known before the long wait.
  missing.sort((a, b) => a.size - b.size);
  let before = total - missing.reduce((sum, { size }) => sum + size, 0);
  let downloaded = 0;
  for (const file of missing) {
    const tell = (phase: 'wait' | 'download', done: number): void =>
      options.onProgress?.({ phase, done: before + done, total });
    downloaded += await fetchBlob(cache, listing, file, options, tell);
    await cache.link(repo, commit, file.path, blobName(file));
    before += file.size;
  }
  await cache.setRef(repo, id.revision, commit);
  return pulled(cache, id, commit, chosen, downloaded);
}

/** As Python names it: by what the hub gives as its ETag. */
const blobName = (file: HubFile): string => file.sha256 ?? file.gitSha1;

/** Brings one file under its hash into the cache; returns the bytes that came. */
async function fetchBlob(
  cache: HubCache,
  listing: HubListing,
  file: HubFile,
  options: PullOptions,
  tell: (phase: 'wait' | 'download', done: number) => void,
): Promise<number> {
  const { repo } = listing;
  const blob = cache.blob(repo, blobName(file));
  if ((await sizeOf(blob)) === file.size) return 0;
  const held = await lock(cache.lockFile(repo, blobName(file)), () => tell('wait', 0), options.signal);
  try {
    // Another process may have brought it while this one waited.
    if ((await sizeOf(blob)) === file.size) return 0;
    const signal = options.signal ? AbortSignal.any([options.signal, held.lost]) : held.lost;
    await mkdir(dirname(blob), { recursive: true });
    // Python's own parts have other names: it would take the holes in ours for bytes that came.
    const part = await DiskPart.open(`${blob}.mamba.incomplete`, file.size);
    try {
      const there = presentBytes(part);
      await checkSpace(dirname(blob), file, there);
      const expected = expectedFile(listing, file, options);
      const attempt = (): Promise<void> =>
        transfer(expected, part, {
          ...options,
          signal,
          sha256: nodeSha256,
          onProgress: (done) => tell('download', done),
        });
      try {
        await attempt();
      } catch (error) {
        if (!isMambaError(error, 'HUB_HASH') && !isMambaError(error, 'HUB_CHANGED')) throw error;
        await part.clear();
        // Bytes of an earlier process may have been lost in a power cut, and a change may have been in progress: once more.
        if (there === 0 && isMambaError(error, 'HUB_HASH')) throw error;
        await attempt().catch(async (again: unknown) => {
          if (isMambaError(again, 'HUB_HASH') || isMambaError(again, 'HUB_CHANGED')) await part.clear();
          throw again;
        });
      }
      await part.finish(blob);
      return file.size - there;
    } catch (error) {
      const nothing = presentBytes(part) === 0;
      await part.close();
      if (nothing) await rm(`${blob}.mamba.incomplete`, { force: true });
      throw error;
    }
  } finally {
    await held.release();
  }
}

const presentBytes = (part: DiskPart): number => part.ranges.reduce((sum, { start, end }) => sum + end - start, 0);

async function checkSpace(folder: string, file: HubFile, there: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const needed = file.size - there;
  if (needed <= free) return;
  const megabytes = (bytes: number): string => `${Math.ceil(bytes / 1e6).toLocaleString('en')} MB`;
  throw new MambaError(
    'HUB_SPACE',
    `${file.path} needs ${megabytes(needed)} in ${folder}, and the disk has ${megabytes(free)} left. Make room (mamba ls, mamba ` +
      'rm), or let HF_HOME name a folder elsewhere.',
    { file: file.path, needed, free },
  );
}

function nodeSha256(): Hasher {
  const hash = createHash('sha256');
  return {
    update: (bytes) => void hash.update(bytes),
    hex: () => hash.digest('hex'),
  };
}

/** Pulls a model and opens it, under its id. Throws what {@link pullModel} and `openModel` throw. */
export async function openHubModel(text: string, options: PullOptions = {}): Promise<OpenedModel> {
  const { gguf, folder, id } = await pullModel(text, options);
  const files = { ...(await openFolder(folder)), name: id };
  return openModel(files, options.signal, gguf === undefined ? undefined : basename(gguf));
}
