import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { type ByteSource, blobSource, prepareRead } from './byte-source.ts';

/** How to fetch a file. */
export interface UrlOptions {
  /** The global `fetch` unless given: tests, proxies, credentials and caches come in here. */
  readonly fetch?: typeof fetch | undefined;
  /** Sent with each request. In a browser, most of them make the server answer a preflight first. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * What happens where the server does not answer ranges. `download` (unless told otherwise): the file is fetched once,
   * from front to back, and kept as a Blob (on disk or in memory, as the browser likes; in memory in Node), at most
   * `maxDownload` bytes. `refuse`: `URL_RANGE`. Which way was taken stands in {@link UrlSource.transfer}.
   */
  readonly withoutRanges?: 'download' | 'refuse' | undefined;
  /** Bytes; 4 GiB, as much as a WebAssembly memory can hold, unless told otherwise. */
  readonly maxDownload?: number | undefined;
  /** Ends every request by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface UrlSource extends ByteSource {
  /** `ranges`: each read is a request of its own. `download`: the server ignores ranges, the file was fetched whole. */
  readonly transfer: 'ranges' | 'download';
  /** Where it came from, with the query. */
  readonly url: string;
  /** What the server names this version of the file by; null where it does not, or may not show it to this page. */
  readonly etag: string | null;
}

const FLUSH = 8 << 20;

interface Remote {
  readonly name: string;
  readonly url: string;
  readonly fetch: typeof fetch;
  readonly headers: Readonly<Record<string, string>>;
}

/** Without query and user, which may hold secrets. */
function shown(url: string): string {
  const { origin, protocol, pathname } = new URL(url);
  return origin === 'null' ? `${protocol}${pathname.slice(0, 80)}` : origin + pathname;
}

async function request(remote: Remote, range: string | null, signal?: AbortSignal): Promise<Response> {
  const headers = range === null ? remote.headers : { ...remote.headers, range };
  try {
    return await remote.fetch(remote.url, { headers, signal: signal ?? null });
  } catch (cause) {
    signal?.throwIfAborted();
    throw new MambaError(
      'URL_NETWORK',
      `${shown(remote.url)} could not be reached: ${cause instanceof Error ? cause.message : String(cause)}. ` +
        'Is the network up, and does the server allow this page to read it (CORS)?',
      { url: shown(remote.url) },
      { cause },
    );
  }
}

async function checkStatus(remote: Remote, response: Response): Promise<void> {
  if (response.status === 200 || response.status === 206) return;
  await response.body?.cancel();
  const { status } = response;
  const url = shown(remote.url);
  if (status === 404 || status === 410) {
    throw new MambaError('FILE_MISSING', `${url} does not exist (HTTP ${status})`, { url, status });
  }
  const remedy =
    status === 401 || status === 403
      ? 'The file needs a login: pass an authorization header.'
      : status === 429 || status >= 500
        ? 'Try again later.'
        : 'Check the address.';
  throw new MambaError('URL_STATUS', `${url} answered HTTP ${status}; 206 or 200 was expected. ${remedy}`, {
    url,
    status,
  });
}

/** `bytes 0-7/100` -> first 0, last 7, size 100. Null where it is absent, hidden by CORS, or says something else. */
function contentRange(response: Response): { first: number; last: number; size: number } | null {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(response.headers.get('content-range') ?? '');
  return match && { first: Number(match[1]), last: Number(match[2]), size: Number(match[3]) };
}

/** Copies a body into `out`, which it must fill exactly. */
async function fill(remote: Remote, response: Response, out: Uint8Array, signal?: AbortSignal): Promise<void> {
  let done = 0;
  for await (const chunk of chunksOf(remote, response, signal)) {
    if (done + chunk.byteLength > out.byteLength) {
      done += chunk.byteLength;
      break;
    }
    out.set(chunk, done);
    done += chunk.byteLength;
  }
  if (done !== out.byteLength) {
    const found = done > out.byteLength ? 'more' : String(done);
    throw new MambaError(
      'URL_LENGTH',
      `${shown(remote.url)}: a range of ${out.byteLength} bytes was asked for and ${found} came. Try again; if it stays so, ` +
        'the server or a proxy alters the file.',
      { url: shown(remote.url), expected: out.byteLength, found: done },
    );
  }
}

/** The pieces of a body; it is cancelled when the consumer stops. */
async function* chunksOf(remote: Remote, response: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  let ended = false;
  try {
    while (true) {
      signal?.throwIfAborted();
      const next = await reader.read().catch((cause: unknown) => {
        ended = true;
        signal?.throwIfAborted();
        const reason = cause instanceof Error ? cause.message : String(cause);
        throw new MambaError(
          'URL_NETWORK',
          `${shown(remote.url)}: the connection broke off (${reason}). Try again.`,
          { url: shown(remote.url) },
          { cause },
        );
      });
      if (next.done) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    if (!ended) await reader.cancel();
  }
}

const isEncoded = (response: Response): boolean =>
  (response.headers.get('content-encoding') ?? 'identity') !== 'identity';

/** The body of an answer without ranges, gathered into a Blob of Blobs, so that no byte is in memory twice for long. */
async function download(remote: Remote, response: Response, options: UrlOptions): Promise<Blob> {
  const limit = options.maxDownload ?? 2 ** 32;
  // A compressed body is longer once unpacked than its header says.
  const encoded = isEncoded(response);
  const header = response.headers.get('content-length');
  const declared = header !== null && !encoded && /^\d{1,15}$/.test(header) ? Number(header) : null;
  const tooLarge = (bytes: number): MambaError =>
    new MambaError(
      'FILE_SIZE',
      `${shown(remote.url)} has ${bytes} bytes or more; at most ${limit} are accepted without range requests. Serve it from a ` +
        'server that answers ranges.',
      { url: shown(remote.url), limit },
    );
  if (declared !== null && declared > limit) {
    await response.body?.cancel();
    throw tooLarge(declared);
  }
  const parts: Blob[] = [];
  let pending: Uint8Array<ArrayBuffer>[] = [];
  let pendingBytes = 0;
  let size = 0;
  for await (const chunk of chunksOf(remote, response, options.signal)) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge(size);
    pending.push(chunk as Uint8Array<ArrayBuffer>);
    pendingBytes += chunk.byteLength;
    if (pendingBytes >= FLUSH) {
      parts.push(new Blob(pending));
      pending = [];
      pendingBytes = 0;
    }
  }
  parts.push(new Blob(pending));
  if (declared !== null && size !== declared) {
    throw new MambaError(
      'URL_LENGTH',
      `${shown(remote.url)}: the server announced ${declared} bytes and sent ${size}. Try again.`,
      { url: shown(remote.url), expected: declared, found: size },
    );
  }
  return new Blob(parts);
}

/**
 * A file behind a URL, read by range requests, one per read. A first request for one byte learns the size. Where the
 * server ignores ranges (or hides `Content-Range` from a page of another origin), see `withoutRanges`.
 *
 * Throws `FILE_MISSING` (404, 410, or a page of HTML in the file's place, as single-page servers answer), `URL_STATUS`,
 * `URL_NETWORK`, `URL_RANGE`, `URL_LENGTH`, and `FILE_CHANGED` where size or ETag change while it is read.
 */
export async function urlSource(address: string | URL, options: UrlOptions = {}): Promise<UrlSource> {
  const url = String(address);
  const name = decodeName(new URL(url).pathname.split('/').pop() || 'file');
  const remote: Remote = {
    name,
    url,
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    headers: options.headers ?? {},
  };
  const first = await request(remote, 'bytes=0-0', options.signal);
  if (first.status === 416 && first.headers.get('content-range') === 'bytes */0') {
    await first.body?.cancel();
    return { ...blobSource(new Blob([]), name), transfer: 'ranges', url, etag: first.headers.get('etag') };
  }
  await checkStatus(remote, first);
  if (/^text\/html\b/i.test(first.headers.get('content-type') ?? '') && !/\.html?$/i.test(name)) {
    await first.body?.cancel();
    throw new MambaError('FILE_MISSING', `${shown(url)} does not exist: the server answered with a page of HTML`, {
      url: shown(url),
      status: first.status,
    });
  }
  if (first.status === 206) {
    const range = contentRange(first);
    await first.body?.cancel();
    // Ranges of a compressed body count compressed bytes: of no use here.
    if (range && range.first === 0 && range.last === 0 && range.size > 0 && !isEncoded(first)) {
      return rangedSource(remote, range.size, first.headers.get('etag'));
    }
  }
  if (options.withoutRanges === 'refuse') {
    await first.body?.cancel();
    throw new MambaError(
      'URL_RANGE',
      `${shown(url)}: the server does not answer range requests, which were asked for`,
      {
        url: shown(url),
        status: first.status,
      },
    );
  }
  const whole = first.status === 200 ? first : await wholeFile(remote, options.signal);
  const etag = whole.headers.get('etag');
  return { ...blobSource(await download(remote, whole, options), name), transfer: 'download', url, etag };
}

/** The answer to a request without a range, for servers that hide or garble `Content-Range`. */
async function wholeFile(remote: Remote, signal?: AbortSignal): Promise<Response> {
  const response = await request(remote, null, signal);
  await checkStatus(remote, response);
  if (response.status === 200) return response;
  await response.body?.cancel();
  throw new MambaError(
    'URL_RANGE',
    `${shown(remote.url)} answered a part (HTTP 206) of unknown place and, asked for the whole file, a part again. Its ` +
      'Content-Range header must be readable.',
    { url: shown(remote.url), status: response.status },
  );
}

function rangedSource(remote: Remote, size: number, etag: string | null): UrlSource {
  const source: UrlSource = {
    name: remote.name,
    size,
    transfer: 'ranges',
    url: remote.url,
    etag,
    async read(offset, length, options) {
      const out = prepareRead(source, offset, length, options);
      if (length === 0) return out;
      const last = offset + length - 1;
      let response: Response;
      try {
        response = await request(remote, `bytes=${offset}-${last}`, options?.signal);
        await checkStatus(remote, response);
      } catch (error) {
        // 416: it became shorter than the range.
        const gone = isMambaError(error, 'FILE_MISSING') || (isMambaError(error) && error.details.status === 416);
        throw gone ? changed(remote, `the server now answers HTTP ${error.details.status}`, error) : error;
      }
      const range = contentRange(response);
      const tag = response.headers.get('etag');
      let problem: MambaError | null = null;
      if (response.status !== 206 || !range) {
        problem = new MambaError(
          'URL_RANGE',
          `${shown(remote.url)} answered ranges at first, but not bytes ${offset} to ${last} (HTTP ${response.status})`,
          { url: shown(remote.url), status: response.status, offset, length },
        );
      } else if (range.size !== size) problem = changed(remote, `it had ${size} bytes and now has ${range.size}`);
      else if (etag !== null && tag !== null && tag !== etag)
        problem = changed(remote, `its ETag was ${etag} and is ${tag}`);
      else if (range.first !== offset || range.last !== last) {
        problem = new MambaError(
          'URL_RANGE',
          `${shown(remote.url)}: bytes ${offset} to ${last} were asked for and ${range.first} to ${range.last} came`,
          { url: shown(remote.url), offset, length, found: range },
        );
      }
      if (problem) {
        await response.body?.cancel();
        throw problem;
      }
      await fill(remote, response, out, options?.signal);
      return out;
    },
  };
  return source;
}

function changed(remote: Remote, how: string, cause?: unknown): MambaError {
  return new MambaError(
    'FILE_CHANGED',
    `${shown(remote.url)} changed while it was read: ${how}. Load it again from the start.`,
    { url: shown(remote.url) },
    { cause },
  );
}

function decodeName(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // a stray % is not an escape; the name is for messages only
  }
}
