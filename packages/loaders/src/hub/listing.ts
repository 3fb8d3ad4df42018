import { MambaError } from '@mamba-ts/tensor';
import type { HubId } from './id.ts';
import { type HubOptions, hubAddress, persistent, request } from './request.ts';
import type { ExpectedFile } from './transfer.ts';

/** A file of a repository, as the hub describes it. Its path is not checked yet: see `checkHubPath`. */
export interface HubFile {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Of a large file (LFS), in hexadecimal. */
  readonly sha256?: string;
  /** The SHA-1 under which git keeps it; of a large file, that of its pointer. */
  readonly gitSha1: string;
}

/** A repository at one commit. */
export interface HubListing {
  readonly repo: string;
  /** The commit that the revision stands for now: 40 hexadecimal digits. */
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** An answer of the API: a repository of 10,000 files takes about 2 MB. */
const ANSWER_BYTES = 16 << 20;
/** Of one file, far above any model: what is kept of a download, a record for each MiB, grows with it. */
const MOST_BYTES = 2 ** 42;

/**
 * Asks the hub what a revision is: its commit, and its files with sizes and hashes. Throws `HUB_AUTH`, `HUB_MISSING`,
 * `HUB_BUSY`, `HUB_NETWORK`, `HUB_STATUS`, and `HUB_ANSWER` for what is no such answer.
 */
export async function listHub({ repo, revision }: HubId, options: HubOptions = {}): Promise<HubListing> {
  const url = `${hubAddress(options)}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const what = revision === 'main' ? repo : `${repo}@${revision}`;
  const json = await persistent(
    async () => {
      const silence = AbortSignal.timeout(options.patience?.silenceMs ?? 30_000);
      const signal = options.signal ? AbortSignal.any([options.signal, silence]) : silence;
      try {
        return await readJson(await request(url, what, options, signal), what);
      } catch (error) {
        options.signal?.throwIfAborted();
        throw error === silence.reason ? lateAnswer(what, url, error) : error;
      }
    },
    options.patience,
    options.signal,
  );
  return readListing(json, repo, what);
}

const lateAnswer = (what: string, url: string, cause: unknown): MambaError =>
  new MambaError('HUB_NETWORK', `${what}: ${new URL(url).host} does not answer. Try again.`, { what }, { cause });

async function readJson(response: Response, what: string): Promise<unknown> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = response.body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    size += next.value.byteLength;
    if (size > ANSWER_BYTES) {
      await reader?.cancel();
      throw badAnswer(what, `has more than ${ANSWER_BYTES} bytes`);
    }
    parts.push(next.value as Uint8Array<ArrayBuffer>);
  }
  try {
    return JSON.parse(await new Blob(parts).text());
  } catch (cause) {
    throw badAnswer(what, `is not JSON (${(cause as Error).message})`, cause);
  }
}

function badAnswer(what: string, why: string, cause?: unknown): MambaError {
  return new MambaError(
    'HUB_ANSWER',
    `${what}: the answer ${why}. Is the address (HF_ENDPOINT) that of a hub?`,
    { what },
    { cause },
  );
}

const isHash = (value: unknown, digits: number): value is string =>
  typeof value === 'string' && value.length === digits && /^[0-9a-f]+$/.test(value);

/** The fields that are used, checked: hashes become file names in the cache. */
function readListing(json: unknown, repo: string, what: string): HubListing {
  const { sha, siblings } = Object(json) as { sha?: unknown; siblings?: unknown };
  if (!isHash(sha, 40)) throw badAnswer(what, 'names no commit (sha)');
  if (!Array.isArray(siblings)) throw badAnswer(what, 'lists no files (siblings)');
  const files = siblings.map((sibling): HubFile => {
    const { rfilename: path, size, blobId, lfs } = Object(sibling) as Record<string, unknown>;
    const large = lfs === undefined || lfs === null ? null : (Object(lfs) as { sha256?: unknown; size?: unknown });
    const bytes = large?.size ?? size;
    if (typeof path !== 'string' || path === '') throw badAnswer(what, 'lists a file without a name');
    const named = JSON.stringify(path.slice(0, 120));
    const possible = Number.isSafeInteger(bytes) && (bytes as number) >= 0 && (bytes as number) <= MOST_BYTES;
    if (!possible) throw badAnswer(what, `names no possible size of ${named}`);
    if (!isHash(blobId, 40)) throw badAnswer(what, `names no git hash of ${named}`);
    if (large && !isHash(large.sha256, 64)) throw badAnswer(what, `names no SHA-256 of ${named}`);
    return {
      path,
      size: bytes as number,
      ...(large && { sha256: large.sha256 as string }),
      gitSha1: blobId,
    };
  });
  if (new Set(files.map(({ path }) => path)).size < files.length) throw badAnswer(what, 'lists a file twice');
  return { repo, commit: sha, files };
}

/** Where a file lies and what it must be, for `transfer`. */
export function expectedFile({ repo, commit }: HubListing, file: HubFile, options: HubOptions = {}): ExpectedFile {
  const path = file.path.split('/').map(encodeURIComponent).join('/');
  const { size, sha256, gitSha1 } = file;
  return {
    name: `${repo}: ${file.path}`,
    url: `${hubAddress(options)}/${repo}/resolve/${commit}/${path}`,
    size,
    // Of a large file, git's hash is that of the pointer.
    ...(sha256 === undefined ? { gitSha1 } : { sha256 }),
  };
}
