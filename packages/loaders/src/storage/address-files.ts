import { type ByteSource, READ_STEP } from '../byte-source.ts';
import { type ModelFolder, openUrl } from '../folder.ts';
import { type ExpectedFile, transfer } from '../hub/transfer.ts';
import { isGguf, openModel } from '../model.ts';
import type { UrlSource } from '../url.ts';
import type { PieceFile } from './pieces.ts';
import type { PullOptions, RemoteFile } from './pull.ts';
import type { StoredFileInfo } from './store.ts';

/**
 * The files of the model at an address: those of which a part is here already (`begun`), or else those that opening it
 * there opens, which checks all headers.
 */
export async function addressFiles(
  address: string,
  begun: readonly StoredFileInfo[],
  { fetch, signal }: PullOptions,
): Promise<RemoteFile[]> {
  const url = new URL(address);
  let file: string | undefined;
  if (isGguf(url.pathname)) {
    const cut = url.pathname.lastIndexOf('/') + 1;
    file = decodeURIComponent(url.pathname.slice(cut));
    url.pathname = url.pathname.slice(0, cut);
  }
  const folder = openUrl(url, { fetch });
  const again = await Promise.all(begun.map(({ name }) => folder.open(name, signal).catch(() => null)));
  const unchanged = again.every(
    (source, index) => source?.size === begun[index]!.size && source.etag === begun[index]!.version,
  );
  if (begun.length > 0 && unchanged) return (again as UrlSource[]).map(remoteFile);
  signal?.throwIfAborted();
  const opened: UrlSource[] = [];
  const recording: ModelFolder = {
    name: folder.name,
    async open(path, aborted) {
      const source = await folder.open(path, aborted);
      opened.push(source);
      return source;
    },
  };
  await openModel(recording, signal, file);
  return opened.map(remoteFile);
}

const remoteFile = (source: UrlSource): RemoteFile => ({
  name: source.name,
  size: source.size,
  version: source.etag,
  // The token is the hub's, and goes nowhere else.
  bring: (part, { fetch, signal, patience }, onProgress) =>
    source.transfer === 'ranges'
      ? transfer(expected(source), part, { fetch, signal, patience, onProgress, unverified: true })
      : copy(source, part, signal, onProgress),
});

const expected = ({ name, url, size, etag }: UrlSource): ExpectedFile => ({ name, url, size, etag });

/** A file that came whole, because the server knows no ranges. */
async function copy(
  source: ByteSource,
  part: PieceFile,
  signal: AbortSignal | undefined,
  onProgress: (done: number) => void,
): Promise<void> {
  for (let at = 0; at < source.size; at += READ_STEP) {
    await part.write(at, await source.read(at, Math.min(READ_STEP, source.size - at), { signal }));
    onProgress(Math.min(at + READ_STEP, source.size));
  }
  await part.flush();
}
