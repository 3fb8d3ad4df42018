import { MambaError } from '@mamba-ts/tensor';
import { type ByteSource, blobSource, memorySource } from './byte-source.ts';
import { checkFileName } from './file-name.ts';
import { type UrlOptions, type UrlSource, urlSource } from './url.ts';

/** The files of a model, found by plain names: a directory, files chosen in a browser, or an address they lie under. */
export interface ModelFolder {
  /** For messages and for the model's name: the folder's own name. */
  readonly name: string;
  /** Throws `FILE_NAME` for a name that is not plain, and `FILE_MISSING`. */
  open(path: string, signal?: AbortSignal): Promise<ByteSource>;
  /** The plain files it holds, sorted. Absent where a folder cannot tell (a URL). */
  list?(): Promise<string[]>;
}

/** One whose files lie behind URLs. */
export interface UrlFolder extends ModelFolder {
  open(path: string, signal?: AbortSignal): Promise<UrlSource>;
}

/** `FILE_MISSING` for a folder that knows what it holds. */
export function missingFile(folder: string, path: string, held: readonly string[]): MambaError {
  return new MambaError('FILE_MISSING', `${folder} has no file ${path}; ${describeFiles(held)}`, {
    folder,
    file: path,
    held,
  });
}

/** `it holds a, b, c, ... (12 files)`, for messages. */
export function describeFiles(held: readonly string[]): string {
  if (held.length === 0) return 'it holds no files';
  const some = held.slice(0, 12).join(', ');
  return held.length > 12 ? `it holds ${some}, ... (${held.length} files)` : `it holds ${some}`;
}

/** Files in memory as a folder: bytes or Blobs by plain name. */
export function memoryFolder(name: string, files: Readonly<Record<string, Uint8Array | Blob>>): ModelFolder {
  const byName = new Map(Object.entries(files).map(([path, data]) => [checkFileName(path, name), data]));
  const held = [...byName.keys()].sort();
  return {
    name,
    list: async () => held,
    async open(path) {
      const data = byName.get(checkFileName(path, name));
      if (!data) throw missingFile(name, path, held);
      return data instanceof Uint8Array ? memorySource(path, data) : blobSource(data, path);
    },
  };
}

/**
 * Files chosen or dropped in a browser as a folder. With `webkitRelativePath` (a chosen directory) the names are relative
 * to that directory and files in directories below it are left out; without, each file's own name counts. Throws
 * `FILE_DUPLICATE` where two files have one name.
 */
export function openFiles(files: Iterable<File>, name?: string): ModelFolder {
  const byName = new Map<string, File>();
  let below = 0;
  let folder = name;
  for (const file of files) {
    const path = (file.webkitRelativePath || file.name).split('/');
    if (path.length > 2) {
      below++;
      continue;
    }
    if (path.length === 2) folder ??= path[0]!;
    const own = path.at(-1)!;
    if (byName.has(own)) {
      throw new MambaError(
        'FILE_DUPLICATE',
        `two of the chosen files are called ${own}; choose one model's files only`,
        {
          file: own,
        },
      );
    }
    byName.set(own, file);
  }
  const held = [...byName.keys()].sort();
  const label = folder ?? 'the chosen files';
  return {
    name: label,
    list: async () => held,
    async open(path) {
      const file = byName.get(checkFileName(path, label));
      if (file) return blobSource(file, path);
      const error = missingFile(label, path, held);
      if (below === 0) throw error;
      throw new MambaError(
        error.code,
        `${error.message}, and ${below} files in folders below it. Choose the folder that holds the model's files itself.`,
        { ...error.details, below },
      );
    },
  };
}

/**
 * The files under a base URL, such as `https://example.org/models/mine/`, as a folder. A query (a signed token) is kept
 * for each file. It cannot be listed. Throws `URL_ADDRESS` where the address is not absolute, or neither http nor https.
 */
export function openUrl(base: string | URL, options: UrlOptions = {}): UrlFolder {
  const address = URL.canParse(String(base)) ? new URL(base) : null;
  if (!address || (address.protocol !== 'http:' && address.protocol !== 'https:')) {
    throw new MambaError(
      'URL_ADDRESS',
      `${JSON.stringify(String(base).slice(0, 120))} is not an absolute http or https address of a folder, such as ` +
        'https://example.org/models/mine/. In a page, write new URL(path, location.href).',
      { address: String(base) },
    );
  }
  address.hash = '';
  if (!address.pathname.endsWith('/')) address.pathname += '/';
  const name = address.pathname.split('/').at(-2) || address.host;
  return {
    name,
    open(path, signal) {
      const file = new URL(address);
      file.pathname += encodeURIComponent(checkFileName(path, name));
      return urlSource(file, signal ? { ...options, signal } : options);
    },
  };
}
