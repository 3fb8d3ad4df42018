import { isMambaError } from '@mamba-ts/tensor';
import type { ModelFolder } from '../folder.ts';
import { chooseFiles } from '../hub/choose.ts';
import { hubIdText, isHubId, parseHubId } from '../hub/id.ts';
import { expectedFile, listHub } from '../hub/listing.ts';
import type { HubOptions } from '../hub/request.ts';
import { transfer } from '../hub/transfer.ts';
import { addressFiles } from './address-files.ts';
import type { PieceFile } from './pieces.ts';
import type { ModelStore, StoredFileInfo } from './store.ts';

/** How to bring a model into the browser. An aborted `signal` throws its reason; what has come is kept. */
export interface PullOptions extends HubOptions {
  /** Bytes that have come, those of earlier attempts included, and bytes in all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  /** Called where another tab is at it, which is then waited for. */
  readonly onWait?: (() => void) | undefined;
}

/** A file of a model, and how it gets into the store. */
export interface RemoteFile extends StoredFileInfo {
  bring(part: PieceFile, options: PullOptions, onProgress: (done: number) => void): Promise<void>;
}

/** The one way to write an id, under which the store knows it. Throws `HUB_ID`. */
export const storedId = (id: string): string => (isHubId(id) ? hubIdText(parseHubId(id)) : id);

/**
 * Stores a model and opens it from there: one of the hub (`ORG/NAME[@REVISION][:FILE]`), the fewest bytes that serve; or
 * what lies under the address of a folder or of a GGUF file (with the other parts where it is split). At an address the
 * headers are checked first, so that nothing large is fetched that cannot be read; of a download that goes on, one byte of
 * each file is, which tells whether it is still the same.
 *
 * Throws what `listHub`, `openModel`, `ModelStore.store` and `transfer` throw.
 */
export async function pullModel(store: ModelStore, id: string, given: PullOptions = {}): Promise<ModelFolder> {
  const key = storedId(id);
  const options: PullOptions = { ...given, fetch: pastTheCache(given.fetch ?? globalThis.fetch) };
  const files = isHubId(id)
    ? await hubFiles(id, options)
    : await addressFiles(id, (await store.find(key))?.files ?? [], options);
  const total = files.reduce((sum, { size }) => sum + size, 0);
  await store.store(
    key,
    files.map(({ name, size, version }) => ({ name, size, version })),
    async (model) => {
      const done = model.files.map(({ present }) => present);
      const report = (): void =>
        options.onProgress?.(
          done.reduce((a, b) => a + b, 0),
          total,
        );
      report();
      for (const [index, file] of files.entries()) {
        const part = model.files[index]!;
        try {
          await file.bring(part, options, (bytes) => {
            done[index] = bytes;
            report();
          });
        } catch (error) {
          if (isMambaError(error, 'HUB_HASH') || isMambaError(error, 'HUB_CHANGED')) await part.clear();
          throw error;
        }
      }
      await model.finish();
    },
    options,
  );
  return (await store.folder(key))!;
}

/** The browser's own cache would keep what is kept here a second time. */
const pastTheCache =
  (fetching: typeof fetch): typeof fetch =>
  (input, init) =>
    fetching(input, { ...init, cache: 'no-store' });

async function hubFiles(id: string, hub: PullOptions): Promise<RemoteFile[]> {
  const wanted = parseHubId(id);
  const listing = await listHub(wanted, hub);
  const { files } = chooseFiles(listing.files, listing.repo, wanted);
  // In an order of their own: the store knows a file again by its place.
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  return sorted.map((file) => ({
    name: file.path.slice(file.path.lastIndexOf('/') + 1),
    size: file.size,
    version: file.sha256 ?? file.gitSha1,
    bring: (part, options, onProgress) =>
      transfer(expectedFile(listing, file, options), part, { ...options, onProgress }),
  }));
}
