import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { RandomFile } from './random-gguf.ts';

/** A server on another origin, as models lie on one: ranges, an ETag, CORS. */
export interface FileServer {
  readonly url: string;
  /** The ranges that were asked for, in order. */
  readonly asked: { readonly start: number; readonly end: number }[];
  /** Sends no more than so many bytes of bodies in all until it is told otherwise. */
  allow(bytes: number): void;
  close(): Promise<void>;
}

const STEP = 1 << 18;

export async function startFileServer(path: string, file: RandomFile): Promise<FileServer> {
  const asked: { start: number; end: number }[] = [];
  let allowance = Number.POSITIVE_INFINITY;
  let raised = Promise.withResolvers<void>();
  let sent = 0;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Allow-Headers', 'range');
    response.setHeader('Access-Control-Expose-Headers', 'content-range, etag');
    if (request.method === 'OPTIONS') return void response.writeHead(204).end();
    if (request.url !== path) return void response.writeHead(404).end();
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const [start, end] = [Number(first), Math.min(Number(last) + 1, file.size)];
    asked.push({ start, end });
    response.writeHead(206, {
      etag: '"one"',
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${file.size}`,
    });
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    for (let at = start; at < end && !response.destroyed; at += STEP) {
      while (sent >= allowance && !response.destroyed) await Promise.race([raised.promise, closed]);
      if (response.destroyed) return;
      const bytes = file.read(at, Math.min(STEP, end - at));
      sent += bytes.length;
      if (response.write(bytes)) continue;
      await Promise.race([new Promise((resolve) => response.once('drain', resolve)), closed]);
    }
    response.end();
  }

  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`,
    asked,
    allow(bytes) {
      allowance = sent + bytes;
      raised.resolve();
      raised = Promise.withResolvers();
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
