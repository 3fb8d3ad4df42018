import { describe, expect, test } from 'vitest';
import { type ByteSource, blobSource, memorySource, urlSource } from '../src/index.ts';
import { codeOf, errorOf, messageOf, pattern } from './helpers.ts';
import { mockServer } from './server.ts';

const bytes = pattern(3000);
const server = () => mockServer({ '/m/w.safetensors': { bytes, etag: '"1"' }, '/m/empty': new Uint8Array(0) });
const url = 'https://host.example/m/w.safetensors';

describe.each<[string, () => Promise<ByteSource>]>([
  ['memory', async () => memorySource('w.safetensors', bytes)],
  ['Blob', async () => blobSource(new Blob([bytes]), 'w.safetensors')],
  ['File', async () => blobSource(new File([bytes], 'w.safetensors'))],
  ['URL with ranges', () => urlSource(url, { fetch: server().fetch })],
  [
    'URL without ranges',
    () => {
      const without = server();
      without.ranges = 'no';
      return urlSource(url, { fetch: without.fetch });
    },
  ],
])('%s as a source', (_, open) => {
  test('reads any range, into a given buffer or a fresh one', async () => {
    const source = await open();
    expect([source.name, source.size]).toEqual(['w.safetensors', 3000]);
    for (const [offset, length] of [
      [0, 0],
      [0, 1],
      [0, 3000],
      [1, 2998],
      [2999, 1],
      [3000, 0],
    ] as const) {
      expect(await source.read(offset, length)).toEqual(bytes.slice(offset, offset + length));
      const into = new Uint8Array(3001);
      const out = await source.read(offset, length, { into });
      expect(out).toEqual(bytes.slice(offset, offset + length));
      expect(out.buffer).toBe(into.buffer);
      expect(into[3000]).toBe(0);
    }
  });

  test('refuses ranges outside the file and buffers that are too small', async () => {
    const source = await open();
    for (const [offset, length] of [
      [0, 3001],
      [3000, 1],
      [-1, 1],
      [0, -1],
      [0.5, 1],
      [Number.NaN, 1],
      [1, 2 ** 53],
    ] as const) {
      expect(await codeOf(() => source.read(offset, length))).toBe('FILE_RANGE');
    }
    expect(await codeOf(() => source.read(0, 9, { into: new Uint8Array(8) }))).toBe('FILE_RANGE');
  });

  test('an aborted signal ends a reading with its reason', async () => {
    const source = await open();
    await expect(source.read(0, 9, { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow('stop');
  });
});

test('a Blob that has become unreadable is told', async () => {
  class Gone extends Blob {
    override slice(): Blob {
      return Object.assign(new Blob(), {
        arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')),
      });
    }
  }
  expect(await codeOf(() => blobSource(new Gone([bytes])).read(0, 9))).toBe('FILE_READ');
  class Short extends Blob {
    override slice(): Blob {
      return new Blob([bytes.slice(0, 3)]);
    }
  }
  expect(await codeOf(() => blobSource(new Short([bytes])).read(0, 9))).toBe('FILE_CHANGED');
});

test('a Blob that fails in its second MiB: the error says where, and from what', async () => {
  const cause = new DOMException('gone', 'NotReadableError');
  const late = (then: (blob: Blob) => Blob): Blob => {
    const blob = new Blob([new Uint8Array(3 << 20)]);
    const { slice } = blob;
    return Object.assign(blob, {
      slice: (from: number, to: number) =>
        from < 1 << 20 ? slice.call(blob, from, to) : then(slice.call(blob, from, to)),
    });
  };
  const gone = late((blob) => Object.assign(blob, { arrayBuffer: () => Promise.reject(cause) }));
  const read = await errorOf(() => blobSource(gone, 'b').read(5, 2 << 20));
  expect([read!.code, read!.details, read!.cause]).toEqual(['FILE_READ', { file: 'b', offset: 1048581 }, cause]);
  const short = await errorOf(() =>
    blobSource(
      late((blob) => blob.slice(0, 9)),
      'b',
    ).read(5, 2 << 20),
  );
  expect(short!.details).toEqual({ file: 'b', offset: 1048581, expected: 1 << 20, found: 9 });
  expect(short!.message).toContain('1048576 bytes from byte 1048581 were asked for and 9 came');
});

describe('a URL', () => {
  test('is asked for its size once and then for exactly what is read', async () => {
    const mock = server();
    const source = await urlSource(url, { fetch: mock.fetch });
    await source.read(100, 200);
    await source.read(0, 0);
    expect(source.transfer).toBe('ranges');
    expect(mock.log).toEqual(['/m/w.safetensors bytes=0-0', '/m/w.safetensors bytes=100-299']);
  });

  test.each(['no', 'hidden'] as const)(
    'whose server answers ranges "%s" is fetched once and says so',
    async (ranges) => {
      const mock = server();
      mock.ranges = ranges;
      const source = await urlSource(url, { fetch: mock.fetch });
      expect(source.transfer).toBe('download');
      const requests = mock.log.length;
      expect(await source.read(100, 200)).toEqual(bytes.slice(100, 300));
      expect(mock.log.length).toBe(requests);
      expect(mock.log.at(-1)).toBe(ranges === 'no' ? '/m/w.safetensors bytes=0-0' : '/m/w.safetensors');
      expect(await codeOf(() => urlSource(url, { fetch: mock.fetch, withoutRanges: 'refuse' }))).toBe('URL_RANGE');
      expect(await codeOf(() => urlSource(url, { fetch: mock.fetch, maxDownload: 2999 }))).toBe('FILE_SIZE');
    },
  );

  test('of an empty file has size 0', async () => {
    for (const ranges of ['yes', 'no'] as const) {
      const mock = server();
      mock.ranges = ranges;
      expect((await urlSource('https://host.example/m/empty', { fetch: mock.fetch })).size).toBe(0);
    }
  });

  test('sends the headers it is given', async () => {
    const mock = server();
    const sent: (string | null)[] = [];
    const fetch: typeof globalThis.fetch = (input, init) => {
      sent.push(new Headers(init?.headers).get('authorization'));
      return mock.fetch(input, init);
    };
    const source = await urlSource(url, { fetch, headers: { authorization: 'Bearer x' } });
    await source.read(0, 1);
    expect(sent).toEqual(['Bearer x', 'Bearer x']);
  });

  test.each([
    [404, 'FILE_MISSING'],
    [410, 'FILE_MISSING'],
    [401, 'URL_STATUS'],
    [403, 'URL_STATUS'],
    [416, 'URL_STATUS'],
    [429, 'URL_STATUS'],
    [500, 'URL_STATUS'],
    [204, 'URL_STATUS'],
  ])('that answers %i throws %s', async (status, code) => {
    const mock = server();
    mock.alter = () => new Response(null, { status });
    expect(await codeOf(() => urlSource(url, { fetch: mock.fetch }))).toBe(code);
  });

  test('with a page of HTML in the place of the file does not exist', async () => {
    const mock = mockServer({ '/m/w.safetensors': { bytes, type: 'text/html; charset=utf-8' } });
    expect(await codeOf(() => urlSource(url, { fetch: mock.fetch }))).toBe('FILE_MISSING');
  });

  test('that cannot be reached says so, without its query', async () => {
    const fetch = () => Promise.reject(new TypeError('fetch failed'));
    expect(await codeOf(() => urlSource(url, { fetch }))).toBe('URL_NETWORK');
    expect(await messageOf(() => urlSource(`${url}?token=secret`, { fetch }))).not.toContain('secret');
  });

  test.each<[string, string, (response: Response, mock: ReturnType<typeof server>) => Response]>([
    ['FILE_CHANGED', 'another size', (r) => with206(r, 'bytes 0-8/3001')],
    ['FILE_CHANGED', 'another ETag', (r) => with206(r, null, { etag: '"2"' })],
    ['FILE_CHANGED', 'that is gone', () => new Response(null, { status: 404 })],
    ['FILE_CHANGED', 'that became shorter', () => new Response(null, { status: 416 })],
    ['URL_RANGE', 'another range', (r) => with206(r, 'bytes 1-9/3000')],
    ['URL_RANGE', 'the whole file', () => new Response(bytes)],
    ['URL_RANGE', 'no Content-Range', (r) => with206(r, '')],
    ['URL_LENGTH', 'fewer bytes', (r) => with206(r, null, {}, bytes.slice(0, 8))],
    ['URL_LENGTH', 'more bytes', (r) => with206(r, null, {}, bytes.slice(0, 10))],
    ['URL_LENGTH', 'no bytes', (r) => with206(r, null, {}, null)],
    ['URL_STATUS', 'an error', () => new Response(null, { status: 503 })],
  ])('throws %s when a later answer is %s', async (code, _, alter) => {
    const mock = server();
    const source = await urlSource(url, { fetch: mock.fetch });
    mock.alter = (response) => alter(response, mock);
    expect(await codeOf(() => source.read(0, 9))).toBe(code);
  });

  test('whose download has another length than announced is refused, unless it was compressed', async () => {
    const mock = server();
    mock.ranges = 'no';
    let headers: Record<string, string> = { 'content-length': '2000' };
    mock.alter = () => new Response(bytes, { headers });
    expect(await codeOf(() => urlSource(url, { fetch: mock.fetch }))).toBe('URL_LENGTH');
    headers = { 'content-length': '2000', 'content-encoding': 'gzip' };
    expect((await urlSource(url, { fetch: mock.fetch })).size).toBe(3000);
    headers = {};
    expect(await codeOf(() => urlSource(url, { fetch: mock.fetch, maxDownload: 100 }))).toBe('FILE_SIZE');
  });

  test('ranges of a compressed body count compressed bytes: the file is fetched whole instead', async () => {
    const mock = server();
    mock.alter = (response, range) => {
      const headers = new Headers(response.headers);
      headers.set('content-encoding', 'gzip');
      if (range) headers.set('content-range', 'bytes 0-0/700');
      return new Response(response.body, { status: response.status, headers });
    };
    const source = await urlSource(url, { fetch: mock.fetch });
    expect([source.transfer, source.size]).toEqual(['download', 3000]);
    expect(await source.read(5, 9)).toEqual(bytes.slice(5, 14));
  });

  test('a connection that breaks off, and an abort while bytes come', async () => {
    const mock = server();
    const source = await urlSource(url, { fetch: mock.fetch });
    const abort = new AbortController();
    let cancelled = false;
    const body = (then: (controller: ReadableStreamDefaultController) => void) =>
      new ReadableStream({
        start: (controller) => controller.enqueue(bytes.slice(0, 4)),
        pull: then,
        cancel: () => {
          cancelled = true;
        },
      });
    mock.alter = (response) =>
      with206(
        response,
        null,
        {},
        body((controller) => controller.error(new TypeError('cut'))),
      );
    expect(await codeOf(() => source.read(0, 9))).toBe('URL_NETWORK');
    mock.alter = (response) =>
      with206(
        response,
        null,
        {},
        body((controller) => {
          abort.abort(new Error('enough'));
          controller.enqueue(bytes.slice(4, 5));
        }),
      );
    await expect(source.read(0, 9, { signal: abort.signal })).rejects.toThrow('enough');
    expect(cancelled).toBe(true);
  });
});

/** The response with another Content-Range, other headers, another body; null leaves the range, undefined the body. */
function with206(
  response: Response,
  range: string | null,
  more: Record<string, string> = {},
  body?: BodyInit | null,
): Response {
  const headers = new Headers(response.headers);
  if (range !== null) headers.set('content-range', range);
  for (const [name, value] of Object.entries(more)) headers.set(name, value);
  return new Response(body === undefined ? response.body : body, { status: 206, headers });
}
