import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, lstat, mkdir, readdir, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
import { MambaError } from '@mamba-ts/tensor';
import { checkHubPath, parseHubId } from '../hub/id.ts';
import { saveFile } from './files.ts';
import { fileError, systemCode } from './system.ts';

/** A model in the cache. */
export interface CachedModel {
  /** `org/name`. */
  readonly id: string;
  /** Branches and tags with the commits that they stood for when they were pulled. */
  readonly refs: Readonly<Record<string, string>>;
  readonly commits: readonly string[];
  /** On disk, each file once. */
  readonly bytes: number;
  /** Of downloads that have not ended. */
  readonly incompleteBytes: number;
  /** When it was written to last, in ms since 1970. */
  readonly modified: number;
}

const PREFIX = 'models--';
const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

/**
 * The Hugging Face cache, in the layout that Python's huggingface_hub reads and writes:
 * `models--org--name/{blobs,refs,snapshots}`, where a snapshot consists of links to blobs, which are named by their hash.
 */
export class HubCache {
  /** Absolute. */
  readonly root: string;

  constructor(root: string) {
    this.root = resolve(root);
  }

  /** Where all that belongs to a model lies. */
  folder(repo: string): string {
    return join(this.root, PREFIX + parseHubId(repo).repo.replace('/', '--'));
  }

  /** Where the files of one commit lie, under their own names. */
  snapshot(repo: string, commit: string): string {
    return join(this.folder(repo), 'snapshots', commit);
  }

  /** Where the bytes of a file lie, by their hash. */
  blob(repo: string, hash: string): string {
    return join(this.folder(repo), 'blobs', hash);
  }

  /** Python locks its files by another means: this keeps only our own processes apart. Content decides between the two. */
  lockFile(repo: string, hash: string): string {
    return join(this.root, '.locks', PREFIX + repo.replace('/', '--'), `${hash}.mamba.lock`);
  }

  /** The commit that a revision stood for when it was pulled; null where it was not. */
  async commitOf(repo: string, revision: string): Promise<string | null> {
    if (isCommit(revision)) return (await sizeOf(this.snapshot(repo, revision))) === null ? null : revision;
    try {
      const commit = (await readFile(join(this.folder(repo), 'refs', ...revision.split('/')), 'utf8')).trim();
      return isCommit(commit) ? commit : null;
    } catch {
      return null;
    }
  }

  /** Remembers for which commit a revision stands; a commit's own hash needs no memory. */
  async setRef(repo: string, revision: string, commit: string): Promise<void> {
    if (isCommit(revision) || (await this.commitOf(repo, revision)) === commit) return;
    const path = join(this.folder(repo), 'refs', ...revision.split('/'));
    await this.#system(path, async () => {
      await mkdir(dirname(path), { recursive: true });
      await saveFile(path, [new TextEncoder().encode(commit)]);
    });
  }

  /** The files of a snapshot that are there, with their sizes. */
  async files(repo: string, commit: string): Promise<{ path: string; size: number }[]> {
    const root = this.snapshot(repo, commit);
    const files: { path: string; size: number }[] = [];
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      const full = join(entry.parentPath, entry.name);
      const size = entry.isDirectory() ? null : await sizeOf(full);
      if (size !== null) files.push({ path: relative(root, full).replaceAll('\\', '/'), size });
    }
    return files;
  }

  /** Bytes of a file of a snapshot; null where it is not there. */
  async sizeOf(repo: string, commit: string, path: string): Promise<number | null> {
    return sizeOf(join(this.snapshot(repo, commit), checkHubPath(path, repo)));
  }

  /** Puts a blob into a snapshot: as a link, or a copy where the system has no links (Windows without developer mode). */
  async link(repo: string, commit: string, path: string, hash: string): Promise<void> {
    const place = join(this.snapshot(repo, commit), checkHubPath(path, repo));
    const blob = this.blob(repo, hash);
    const temporary = `${place}.${randomUUID()}.tmp`;
    await this.#system(place, async () => {
      await mkdir(dirname(place), { recursive: true });
      try {
        await symlink(relative(dirname(place), blob), temporary, 'file');
      } catch {
        await copyFile(blob, temporary, constants.COPYFILE_FICLONE);
      }
      await rename(temporary, place);
    });
  }

  /** All models, by id. Folders of other names are none of ours. */
  async list(): Promise<CachedModel[]> {
    let names: string[];
    try {
      names = await readdir(this.root);
    } catch (cause) {
      if (systemCode(cause) === 'ENOENT') return [];
      throw fileError(this.root, 'listed', cause);
    }
    const models: CachedModel[] = [];
    for (const name of names.sort()) {
      const [, org, repo, more] = name.split('--');
      if (!name.startsWith(PREFIX) || !org || !repo || more !== undefined) continue;
      models.push(await this.#describe(`${org}/${repo}`, join(this.root, name)));
    }
    return models;
  }

  async #describe(id: string, folder: string): Promise<CachedModel> {
    const refs: Record<string, string> = {};
    let [bytes, incompleteBytes, modified] = [0, 0, 0];
    const commits = await readdir(join(folder, 'snapshots')).catch(() => []);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (!entry.isFile()) continue;
      const full = join(entry.parentPath, entry.name);
      const path = relative(folder, full).replaceAll('\\', '/');
      if (path.startsWith('refs/')) {
        refs[path.slice(5)] = (await readFile(full, 'utf8').catch(() => '')).trim().slice(0, 40);
        continue;
      }
      const stats = await lstat(full).catch(() => null);
      if (!stats) continue;
      // A part is as long as the file will be, with holes: what it takes of the disk is what has come.
      if (path.endsWith('.incomplete')) incompleteBytes += Math.min(stats.size, 512 * (stats.blocks ?? 0));
      else bytes += stats.size;
      modified = Math.max(modified, stats.mtimeMs);
    }
    return { id, refs, commits: commits.filter(isCommit).sort(), bytes, incompleteBytes, modified };
  }

  /** Removes a model, links and all, never what a link points to. Throws `HUB_MISSING` where it is not in the cache. */
  async remove(repo: string): Promise<void> {
    const folder = this.folder(repo);
    const stats = await lstat(folder).catch(() => null);
    if (!stats) {
      throw new MambaError('HUB_MISSING', `${repo} is not in the cache ${this.root}; mamba ls tells what is`, {
        repo,
        cache: this.root,
      });
    }
    await this.#system(folder, async () => {
      await rm(folder, { recursive: true });
      await rm(dirname(this.lockFile(repo, 'x')), { recursive: true, force: true });
    });
  }

  async #system(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw systemCode(error) ? fileError(path, 'written', error) : error;
    }
  }
}

/** Bytes of a file, links followed; null where there is none. */
export async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch {
    return null;
  }
}
