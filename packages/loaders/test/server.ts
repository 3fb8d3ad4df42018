/** A web server in a function: stands in for `fetch` in tests. */
export interface Served {
  readonly bytes: Uint8Array;
  readonly type?: string;
  readonly etag?: string;
}

export interface MockServer {
  readonly fetch: typeof fetch;
  readonly files: Map<string, Served>;
  /** `GET /path range` of each request, in order. */
  readonly log: string[];
  /** Whether ranges are answered; `hidden`: without a readable Content-Range, as by CORS. */
  ranges: 'yes' | 'no' | 'hidden';
  /** Changes each answer before it goes out. */
  alter: (response: Response, range: string | null) => Response | Promise<Response>;
}

export function mockServer(files: Record<string, Uint8Array | Served>): MockServer {
  const server: MockServer = {
    files: new Map(
      Object.entries(files).map(([path, file]) => [path, file instanceof Uint8Array ? { bytes: file } : file]),
    ),
    log: [],
    ranges: 'yes',
    alter: (response) => response,
    fetch: async (input, init) => {
      init?.signal?.throwIfAborted();
      const { pathname, search } = new URL(String(input));
      const range = new Headers(init?.headers).get('range');
      server.log.push(`${pathname}${search}${range === null ? '' : ` ${range}`}`);
      return server.alter(answer(server, pathname, range), range);
    },
  };
  return server;
}

function answer(server: MockServer, path: string, range: string | null): Response {
  const file = server.files.get(path);
  if (!file) return new Response('not found', { status: 404 });
  const { bytes } = file;
  const headers = new Headers({ 'content-type': file.type ?? 'application/octet-stream' });
  if (file.etag) headers.set('etag', file.etag);
  const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  if (!match || server.ranges === 'no') {
    headers.set('content-length', String(bytes.length));
    return new Response(bytes as BodyInit, { headers });
  }
  const [first, last] = [Number(match[1]), Math.min(Number(match[2]), bytes.length - 1)];
  if (first >= bytes.length) {
    return new Response(null, { status: 416, headers: { 'content-range': `bytes */${bytes.length}` } });
  }
  if (server.ranges === 'yes') headers.set('content-range', `bytes ${first}-${last}/${bytes.length}`);
  headers.set('content-length', String(last - first + 1));
  return new Response(bytes.slice(first, last + 1), { status: 206, headers });
}
