import { MambaError } from '@mamba-ts/tensor';
import { type ByteSource, READ_STEP, readWhole } from '../byte-source.ts';
import { type HubOptions, networkError, persistent, request } from './request.ts';
import { type Hasher, hex, Sha256 } from './sha256.ts';

/** From `start` up to but without `end`. Bytes. */
export interface PartRange {
  readonly start: number;
  readonly end: number;
}

/**
 * A file while it comes, wherever it is kept: read like any other, and written at any place. Whoever keeps it locks it,
 * puts it in its place when the transfer has ended, and drops it after `HUB_HASH` and `HUB_CHANGED`.
 */
export interface PartFile extends ByteSource {
  /** What is there for good: sorted, none touching another. Bytes written and not flushed may be missing. */
  readonly ranges: readonly PartRange[];
  /** Takes bytes at a place; several calls may be under way, for different places. The bytes are free again afterwards. */
  write(start: number, bytes: Uint8Array): Promise<void>;
  /** Makes all that was written last. */
  flush(): Promise<void>;
}

/** A file of a repository as it must be. */
export interface ExpectedFile {
  /** For messages: `org/name: path`. */
  readonly name: string;
  readonly url: string;
  /** Bytes. */
  readonly size: number;
  /** Of a large file (LFS), in hexadecimal. */
  readonly sha256?: string | undefined;
  /** Of a small file: the SHA-1 under which git keeps it. */
  readonly gitSha1?: string | undefined;
  /** The version that is meant, where it is known before the transfer begins. */
  readonly etag?: string | null | undefined;
}

export interface TransferOptions extends HubOptions {
  /** Requests at once; 4 unless told otherwise. */
  readonly connections?: number | undefined;
  /** Bytes of a request; 8 MiB unless told otherwise. */
  readonly chunkBytes?: number | undefined;
  /** A fresh SHA-256; one in TypeScript unless given (Node has a faster one). */
  readonly sha256?: (() => Hasher) | undefined;
  /** An address outside a hub names no hash: then sizes and the ETag are all that is checked. */
  readonly unverified?: boolean | undefined;
  /** Bytes that have come, those of earlier attempts included. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Git keeps a small file under the hash of all of it, which the platform makes of bytes in memory only. */
const SHA1_BYTES = 64 << 20;
/** What a connection must bring before its earlier failures are forgotten: less would let a server keep it forever. */
const PROGRESS_BYTES = 1 << 16;

/**
 * Fetches what `part` lacks of a file, by range requests over several connections, flushes it, and checks it. Cut
 * connections, 429 and 5xx are tried again from the byte where they broke off. An abort is answered at once.
 *
 * Throws `HUB_AUTH`, `HUB_MISSING`, `HUB_RANGE`, `HUB_BUSY`, `HUB_NETWORK`, `HUB_STATUS`; `HUB_SIZE` (the file is of another
 * size than the hub says), `HUB_CHANGED` (it changed meanwhile), `HUB_HASH` (what came is not the file), and what
 * `part.write` throws.
 */
export async function transfer(file: ExpectedFile, part: PartFile, options: TransferOptions = {}): Promise<void> {
  const { connections = 4, chunkBytes = 8 << 20, signal, onProgress } = options;
  signal?.throwIfAborted();
  const missing = gaps(part.ranges, file.size, chunkBytes);
  let done = file.size - missing.reduce((sum, { start, end }) => sum + end - start, 0);
  onProgress?.(done);
  const shared: Shared = {
    etag: file.etag ?? null,
    came(bytes) {
      done += bytes;
      onProgress?.(done);
    },
  };
  // The first connection that fails for good ends the others.
  const failed = new AbortController();
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
  const connection = async (): Promise<void> => {
    try {
      for (let range = missing.shift(); range; range = missing.shift())
        await fetchRange(file, range, part, shared, options, either);
    } catch (error) {
      failed.abort(error);
      throw error;
    }
  };
  try {
    const all = Array.from({ length: Math.min(connections, missing.length) }, connection);
    const outcomes = await Promise.allSettled(all);
    signal?.throwIfAborted();
    if (outcomes.some(({ status }) => status === 'rejected')) throw failed.signal.reason;
  } finally {
    await part.flush();
  }
  if (!options.unverified) await verify(file, part, options);
}

/** What is not there yet, in pieces of at most `step` bytes. */
function gaps(ranges: readonly PartRange[], size: number, step: number): PartRange[] {
  const missing: PartRange[] = [];
  let at = 0;
  for (const { start, end } of [...ranges, { start: size, end: size }]) {
    while (at < start) {
      // Pieces end at multiples of `step`, so that a store which keeps such pieces loses none to a shifted border.
      const to = Math.min(start, (Math.floor(at / step) + 1) * step);
      missing.push({ start: at, end: to });
      at = to;
    }
    at = Math.max(at, end);
  }
  return missing;
}

/** What the connections of one transfer know together. */
interface Shared {
  etag: string | null;
  came(bytes: number): void;
}

async function fetchRange(
  file: ExpectedFile,
  range: PartRange,
  part: PartFile,
  shared: Shared,
  options: TransferOptions,
  signal: AbortSignal,
): Promise<void> {
  let at = range.start;
  await persistent(
    async (alive) => {
      let since = 0;
      const watch = silenceWatch(options.patience?.silenceMs ?? 30_000, signal);
      try {
        const response = await request(file.url, file.name, options, watch.signal, `bytes=${at}-${range.end - 1}`);
        checkAnswer(file, { start: at, end: range.end }, response, shared);
        for await (const bytes of bodyOf(file, response, watch.signal)) {
          watch.heard();
          if (bytes.byteLength > range.end - at) throw tooLong(file, range);
          await part.write(at, bytes);
          at += bytes.byteLength;
          since += bytes.byteLength;
          shared.came(bytes.byteLength);
          if (since >= PROGRESS_BYTES) alive();
        }
        if (at < range.end) throw networkError(file.name, file.url, new Error(`${range.end - at} bytes did not come`));
      } catch (error) {
        signal.throwIfAborted();
        throw watch.signal.aborted ? networkError(file.name, file.url, watch.signal.reason) : error;
      } finally {
        watch.end();
      }
    },
    options.patience,
    signal,
  );
}

/** A signal that is also aborted when nothing was heard for a while. */
function silenceWatch(ms: number, signal: AbortSignal) {
  const silent = new AbortController();
  const stop = (): void => silent.abort(new Error(`nothing came for ${ms / 1000} s`));
  let timer = setTimeout(stop, ms);
  return {
    signal: AbortSignal.any([signal, silent.signal]),
    heard(): void {
      clearTimeout(timer);
      timer = setTimeout(stop, ms);
    },
    end: (): void => clearTimeout(timer),
  };
}

function checkAnswer(file: ExpectedFile, asked: PartRange, response: Response, shared: Shared): void {
  const refuse = (code: string, text: string, more: object = {}): MambaError => {
    void response.body?.cancel().catch(() => {});
    return new MambaError(code, `${file.name}: ${text}`, { file: file.name, ...more });
  };
  const etag = response.headers.get('etag');
  if (etag !== null && shared.etag !== null && etag !== shared.etag) {
    throw refuse(
      'HUB_CHANGED',
      `the file changed while it came: its ETag was ${shared.etag} and is ${etag}. Pull it again.`,
    );
  }
  shared.etag ??= etag;
  if (response.status === 200) {
    if (asked.start === 0 && asked.end === file.size) return;
    throw refuse(
      'HUB_RANGE',
      'the server answers with the whole file where a part was asked for. It must answer ranges.',
    );
  }
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(response.headers.get('content-range') ?? '');
  // A page of another origin may not be shown the header; then the hash tells.
  if (!match) return;
  const [first, last, size] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (match[3] !== '*' && size !== file.size) {
    throw refuse(
      'HUB_SIZE',
      `the hub says that it has ${file.size} bytes, the server that it has ${size}. Pull it again.`,
      {
        expected: file.size,
        found: size,
      },
    );
  }
  if (first !== asked.start || last !== asked.end - 1) {
    throw refuse('HUB_RANGE', `bytes ${asked.start} to ${asked.end - 1} were asked for, ${first} to ${last} came`);
  }
}

const tooLong = (file: ExpectedFile, { start, end }: PartRange): MambaError =>
  new MambaError(
    'HUB_SIZE',
    `${file.name}: more came than the ${end - start} bytes from ${start} that were asked for`,
    {
      file: file.name,
      expected: end - start,
    },
  );

/** The pieces of a body, each at once when it comes; it is cancelled when the consumer stops. */
async function* bodyOf(file: ExpectedFile, response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await reader.read().catch((cause: unknown) => {
        signal.throwIfAborted();
        throw networkError(file.name, file.url, cause);
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Of a body that has ended or broken off this does nothing.
    await reader.cancel().catch(() => {});
  }
}

/** Reads back what is kept and compares its hash. Throws `HUB_HASH`. */
export async function verify(file: ExpectedFile, part: ByteSource, options: TransferOptions = {}): Promise<void> {
  const { signal } = options;
  let found: string;
  let expected: string;
  if (file.sha256 !== undefined) {
    const hash = options.sha256?.() ?? new Sha256();
    const buffer = new Uint8Array(Math.min(READ_STEP, file.size));
    for (let at = 0; at < file.size; at += buffer.byteLength) {
      const length = Math.min(buffer.byteLength, file.size - at);
      hash.update(await part.read(at, length, { into: buffer, signal }));
    }
    expected = file.sha256;
    found = hash.hex();
  } else if (file.gitSha1 !== undefined) {
    const content = await readWhole(part, SHA1_BYTES, signal);
    const head = new TextEncoder().encode(`blob ${content.byteLength}\0`);
    const blob = new Uint8Array(head.byteLength + content.byteLength);
    blob.set(head);
    blob.set(content, head.byteLength);
    expected = file.gitSha1;
    found = hex(new Uint8Array(await crypto.subtle.digest('SHA-1', blob)));
  } else {
    throw new MambaError('HUB_ANSWER', `${file.name}: the hub names no hash, so what comes cannot be checked`);
  }
  if (found === expected) return;
  throw new MambaError(
    'HUB_HASH',
    `${file.name}: what came is not the file (its hash is ${found}, ${expected} was expected). It was dropped; pull it ` +
      'again. If it stays so, a server or proxy on the way alters it.',
    { file: file.name, expected, found },
  );
}
