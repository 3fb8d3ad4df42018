import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it came in. */
export interface Asked {
  /** The hub itself, or the second host that large files lie on. */
  readonly host: 'hub' | 'store';
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

/** What goes wrong with one answer. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** The connection is cut after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Nothing more comes after so many bytes, and the connection stays open. */
  readonly silentAfter?: number;
  /** The range is ignored. */
  readonly whole?: boolean;
  /** In place of the file. */
  readonly content?: Uint8Array;
  /** In place of the API's answer. */
  readonly json?: unknown;
  /** Waits before each 64 KiB of the body. */
  readonly slowMs?: number;
}

export interface HubServer {
  readonly endpoint: string;
  readonly log: Asked[];
  /** Bytes of files that went out, by both hosts, and the answers that are going out; `onSend` is called before bytes go. */
  readonly sent: { bytes: number; open: number; onSend: () => void };
  /** Asked before each answer. */
  fault: (asked: Asked) => Fault | undefined;
  readonly commit: (repo: string) => string;
  close(): Promise<void>;
}

export interface HubServerOptions {
  /** Files of so many bytes lie on the second host, as LFS does it. */
  readonly lfsBytes?: number;
  /** Without it the hub answers 401. */
  readonly token?: string;
}

const digest = (algorithm: string, ...parts: (string | Uint8Array)[]): string => {
  const hash = createHash(algorithm);
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

export const gitSha1 = (bytes: Uint8Array): string => digest('sha1', `blob ${bytes.byteLength}\0`, bytes);
export const sha256 = (bytes: Uint8Array): string => digest('sha256', bytes);

/** A hub on loopback: two servers of different ports, which are different origins. `repos`: id -> path -> bytes. */
export async function startHub(
  repos: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>>,
  { lfsBytes = 1024, token }: HubServerOptions = {},
): Promise<HubServer> {
  const commit = (repo: string): string => digest('sha1', ...Object.entries(repos[repo]!).flat());
  const isLarge = (bytes: Uint8Array): boolean => bytes.byteLength >= lfsBytes;
  const log: Asked[] = [];
  const sent = { bytes: 0, open: 0, onSend: (): void => {} };
  const running = { fault: (_: Asked): Fault | undefined => undefined };

  const listing = (repo: string): object => ({
    id: repo,
    sha: commit(repo),
    siblings: Object.entries(repos[repo]!).map(([rfilename, bytes]) => ({
      rfilename,
      size: bytes.byteLength,
      blobId: gitSha1(bytes),
      ...(isLarge(bytes) && { lfs: { sha256: sha256(bytes), size: bytes.byteLength, pointerSize: 134 } }),
    })),
  });

  const open = async (
    host: Asked['host'],
    answer: (asked: Asked, response: ServerResponse, fault: Fault) => unknown,
  ) => {
    const server = createServer((request: IncomingMessage, response) => {
      const { range, authorization } = request.headers;
      const path = decodeURIComponent(new URL(request.url!, 'http://x').pathname);
      const asked: Asked = { host, method: request.method!, path, range, authorization };
      log.push(asked);
      const fault = running.fault(asked) ?? {};
      if (fault.status !== undefined) response.writeHead(fault.status, fault.headers).end('no');
      else answer(asked, response, fault);
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
  };

  const store = await open('store', ({ path, method, range }, response, fault) => {
    const [, repo, file] = /^\/([^/]+\/[^/]+)\/(.+)$/.exec(path)!;
    void sendFile(response, repos[repo!]![file!]!, `"s-${sha256(repos[repo!]![file!]!)}"`, method, range, fault, sent);
  });
  const hub = await open('hub', ({ path, method, range, authorization }, response, fault) => {
    if (token !== undefined && authorization !== `Bearer ${token}`) return response.writeHead(401).end();
    const api = /^\/api\/models\/([^/]+\/[^/]+)(?:\/revision\/(.+))?$/.exec(path);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(path);
    const repo = api?.[1] ?? resolve?.[1] ?? '';
    const revision = api ? (api[2] ?? 'main') : resolve?.[2];
    if (!repos[repo] || (revision !== 'main' && revision !== commit(repo))) return response.writeHead(404).end();
    if (api)
      return response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify(fault.json ?? listing(repo)));
    const file = resolve![3]!;
    const bytes = repos[repo]![file];
    if (!bytes)
      return response.writeHead(404, { 'x-error-code': 'EntryNotFound', 'x-repo-commit': commit(repo) }).end();
    const headers = { 'x-repo-commit': commit(repo), 'accept-ranges': 'bytes' };
    if (!isLarge(bytes))
      return void sendFile(response, bytes, `"${gitSha1(bytes)}"`, method, range, fault, sent, headers);
    const linked = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': String(bytes.byteLength) };
    return response
      .writeHead(302, { ...headers, ...linked, location: `${store.origin}/${repo}/${file}?signature=1` })
      .end();
  });

  const stop = (server: Server): Promise<unknown> => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  return {
    endpoint: hub.origin,
    log,
    sent,
    commit,
    get fault() {
      return running.fault;
    },
    set fault(fault) {
      running.fault = fault;
    },
    close: async () => void (await Promise.all([stop(hub.server), stop(store.server)])),
  };
}

async function sendFile(
  response: ServerResponse,
  file: Uint8Array,
  etag: string,
  method: string,
  range: string | undefined,
  fault: Fault,
  sent: HubServer['sent'],
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const bytes = fault.content ?? file;
  const match = fault.whole ? null : /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  const [first, last] = match
    ? [Number(match[1]), Math.min(Number(match[2]), bytes.byteLength - 1)]
    : [0, bytes.byteLength - 1];
  if (match && first >= bytes.byteLength) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.byteLength}` }).end();
    return;
  }
  response.writeHead(match ? 206 : 200, {
    etag,
    'content-type': 'application/octet-stream',
    'content-length': last + 1 - first,
    ...(match && { 'content-range': `bytes ${first}-${last}/${bytes.byteLength}` }),
    ...more,
    ...fault.headers,
  });
  if (method === 'HEAD') {
    response.end();
    return;
  }
  const limit = Math.min(fault.cutAfter ?? Infinity, fault.silentAfter ?? Infinity);
  const body = bytes.subarray(first, Math.min(last + 1, first + limit));
  sent.open++;
  for (let at = 0; at < body.byteLength && !response.destroyed; at += 1 << 16) {
    if (fault.slowMs) await new Promise((done) => setTimeout(done, fault.slowMs));
    sent.bytes += Math.min(1 << 16, body.byteLength - at);
    sent.onSend();
    // Written out before a cut, or the bytes would be lost with the connection.
    await new Promise((done) => response.write(body.subarray(at, at + (1 << 16)), done));
  }
  sent.open--;
  if (fault.silentAfter !== undefined) return;
  if (fault.cutAfter === undefined) response.end();
  else response.destroy();
}
