import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { checkFileName } from '../file-name.ts';
import { type ModelFolder, missingFile } from '../folder.ts';
import { type BrowserStorage, browserStorage, freeBytes, type Medium, openMedium, quotaError } from './medium.ts';
import { PieceFile } from './pieces.ts';

/** A file as its server describes it. */
export interface StoredFileInfo {
  /** A plain name. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** What changes where the file does: its SHA-256 or ETag. Null where the server names none. */
  readonly version: string | null;
}

/** A model that is kept, or of which a part has come. */
export interface StoredModel {
  /** What it was asked for by: a hub id or an address. */
  readonly id: string;
  readonly files: readonly StoredFileInfo[];
  /** Bytes that have come. */
  readonly present: number;
  /** Bytes that there will be. */
  readonly total: number;
  /** All has come and was found right. */
  readonly complete: boolean;
}

/** What is written beside the pieces. */
interface ModelRecord {
  readonly version: 1;
  readonly id: string;
  readonly files: readonly StoredFileInfo[];
  readonly complete: boolean;
}

const RECORD = 'record.json';
const RECORD_BYTES = 1 << 20;

/** A model while it is being stored: its lock is held. */
export interface ModelBeingStored {
  /** One for each file, in the order given, with what has come already. */
  readonly files: readonly PieceFile[];
  /** Call it when all files were found right; from then on the model opens. Throws `STORAGE_INCOMPLETE`. */
  finish(): Promise<void>;
}

/**
 * Models kept by the browser for this page. Everything that comes is kept at once, so a download goes on where it ended,
 * after the tab was closed too. One tab at a time stores a model.
 */
export class ModelStore {
  /** Where: `opfs` or `cache`. */
  readonly kind: string;
  readonly #medium: Medium;
  readonly #browser: BrowserStorage;

  constructor(medium: Medium, browser: BrowserStorage = browserStorage()) {
    this.kind = medium.kind;
    this.#medium = medium;
    this.#browser = browser;
  }

  /** The store of this page. Throws `STORAGE_UNAVAILABLE`. */
  static async open(browser: BrowserStorage = browserStorage()): Promise<ModelStore> {
    return new ModelStore(await openMedium(browser), browser);
  }

  /** All models of which something is there, by id. */
  async list(): Promise<StoredModel[]> {
    const models: StoredModel[] = [];
    for (const [key, bytes] of await this.#medium.list([])) {
      if (bytes !== null) continue;
      const record = await this.#record(key);
      // A tab that died before its first record, or a version of this package with another layout: of no use to anybody.
      if (record) models.push(await this.#describe(key, record));
    }
    return models.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** A model of which something is there; null where nothing is. */
  async find(id: string): Promise<StoredModel | null> {
    const key = await keyOf(id);
    const record = await this.#record(key);
    return record && this.#describe(key, record);
  }

  /** The files of a model that is complete; null where it is not. */
  async folder(id: string): Promise<ModelFolder | null> {
    const key = await keyOf(id);
    const record = await this.#record(key);
    if (!record?.complete) return null;
    const { files } = record;
    const held = files.map(({ name }) => name).sort();
    return {
      name: folderName(id),
      list: async () => held,
      open: async (path) => {
        checkFileName(path, id);
        const index = files.findIndex(({ name }) => name === path);
        if (index < 0) throw missingFile(id, path, held);
        return PieceFile.open(this.#medium, [key, String(index)], path, files[index]!.size);
      },
    };
  }

  /** Drops a model and what has come of it. Throws `STORAGE_BUSY` while a tab stores it. */
  async remove(id: string): Promise<void> {
    const key = await keyOf(id);
    const done = await this.#ifFree(key, async () => {
      // The record first: a tab that dies in between leaves nothing that looks whole.
      await this.#medium.remove([key, RECORD]);
      await this.#medium.remove([key]);
    });
    if (done) return;
    throw new MambaError('STORAGE_BUSY', `${id} is being downloaded in another tab. Cancel it there, then remove it.`, {
      id,
    });
  }

  /**
   * Stores a model, `work` bringing its bytes; where all is there already it is not called. What came earlier is kept where
   * a file's size and version are as they were, and dropped where not. A second tab waits for the first (`onWait` says so)
   * and finds its work done.
   *
   * Throws `FILE_NAME`, `FILE_DUPLICATE`, `STORAGE_QUOTA` before anything is fetched that cannot be kept, and what `work`
   * throws; what has come by then stays.
   */
  async store(
    id: string,
    files: readonly StoredFileInfo[],
    work: (model: ModelBeingStored) => Promise<void>,
    options: { signal?: AbortSignal | undefined; onWait?: (() => void) | undefined } = {},
  ): Promise<void> {
    const key = await keyOf(id);
    for (const { name } of files) checkFileName(name, id);
    if (new Set(files.map(({ name }) => name)).size < files.length) {
      throw new MambaError('FILE_DUPLICATE', `${id} names a file twice`, { id });
    }
    await this.#exclusively(key, options, async () => {
      const before = await this.#record(key);
      const kept = new Map(before?.files.map((file, index) => [file.name, { file, index }]));
      const same = (file: StoredFileInfo, index: number): boolean => {
        const old = kept.get(file.name);
        return old?.index === index && old.file.size === file.size && old.file.version === file.version;
      };
      if (before?.complete && before.files.length === files.length && files.every(same)) return;
      const record: ModelRecord = { version: 1, id, files, complete: false };
      // Pieces that would be taken for those of other files go before the record that names those.
      for (const [folder] of await this.#medium.list([key])) {
        const index = Number(folder);
        if (folder !== RECORD && !(files[index] && same(files[index], index))) await this.#medium.remove([key, folder]);
      }
      await this.#write(key, record);
      const opened: PieceFile[] = [];
      for (const [index, { name, size }] of files.entries()) {
        opened.push(await PieceFile.open(this.#medium, [key, String(index)], name, size));
      }
      const missing = (): number => opened.reduce((sum, file) => sum + file.size - file.present, 0);
      const needed = missing();
      const available = await freeBytes(this.#browser.storage);
      if (available !== null && needed > available) throw quotaError(needed, available);
      try {
        await work({
          files: opened,
          finish: async () => {
            for (const file of opened) await file.flush();
            if (missing() > 0) throw incomplete(id, missing());
            await this.#write(key, { ...record, complete: true });
          },
        });
      } catch (error) {
        // After a full disk there is nothing to add; the first error is the one to tell.
        for (const file of opened) await file.flush().catch(() => {});
        if (!isMambaError(error, 'STORAGE_QUOTA')) throw error;
        throw quotaError(missing(), error.details.available as number | null, error);
      }
    });
  }

  async #describe(key: string, { id, files, complete }: ModelRecord): Promise<StoredModel> {
    let present = 0;
    for (const [index, { name, size }] of files.entries()) {
      present += complete ? size : (await PieceFile.open(this.#medium, [key, String(index)], name, size)).present;
    }
    return { id, files, present, total: files.reduce((sum, { size }) => sum + size, 0), complete };
  }

  async #record(key: string): Promise<ModelRecord | null> {
    const blob = await this.#medium.get([key, RECORD]);
    if (!blob || blob.size === 0 || blob.size > RECORD_BYTES) return null;
    try {
      return checkRecord(JSON.parse(await blob.text()));
    } catch (error) {
      if (error instanceof SyntaxError || isMambaError(error, 'FILE_NAME')) return null;
      throw error;
    }
  }

  #write(key: string, record: ModelRecord): Promise<void> {
    return this.#medium.put([key, RECORD], new TextEncoder().encode(JSON.stringify(record)));
  }

  async #exclusively(
    key: string,
    { signal, onWait }: { signal?: AbortSignal | undefined; onWait?: (() => void) | undefined },
    run: () => Promise<void>,
  ): Promise<void> {
    signal?.throwIfAborted();
    if (await this.#ifFree(key, run)) return;
    onWait?.();
    await this.#browser.locks!.request(lockName(key), signal ? { signal } : {}, run);
  }

  /** False, at once, where another tab is at it. Without locks (no browser) nobody else is. */
  async #ifFree(key: string, run: () => Promise<void>): Promise<boolean> {
    const { locks } = this.#browser;
    const whenGranted = async (lock: unknown): Promise<boolean> => {
      if (lock) await run();
      return lock !== null;
    };
    return locks ? locks.request(lockName(key), { ifAvailable: true }, whenGranted) : whenGranted(true);
  }
}

function incomplete(id: string, missing: number): MambaError {
  return new MambaError('STORAGE_INCOMPLETE', `${id} cannot be finished: ${missing} bytes of it have not come`, {
    id,
    missing,
  });
}

const lockName = (key: string): string => `models-of-mamba-ts/${key}`;

/** Ids hold slashes, colons and what else a stranger puts into an address: as a name in the storage a hash is safe. */
async function keyOf(id: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(id)));
  return [...hash.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** `state-spaces/mamba-130m-hf@main` -> `mamba-130m-hf`; of an address the last part that says something. */
function folderName(id: string): string {
  const path = URL.canParse(id) ? new URL(id).pathname : id.replace(/[@:].*$/, '');
  return path.split('/').findLast((part) => part !== '') ?? id;
}

function checkRecord(value: unknown): ModelRecord | null {
  const record = value as ModelRecord | null;
  if (record?.version !== 1 || typeof record.id !== 'string' || !Array.isArray(record.files)) return null;
  for (const file of record.files as Partial<StoredFileInfo>[]) {
    if (!Number.isSafeInteger(file?.size) || file.size! < 0) return null;
    if (file.version !== null && typeof file.version !== 'string') return null;
    checkFileName(file.name!, record.id);
  }
  return record;
}
