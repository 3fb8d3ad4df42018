import { describe, expect, test } from 'vitest';
import { openUrl, urlSource } from '../src/index.ts';
import { codeOf, errorOf, messageOf, pattern } from './helpers.ts';
import { type MockServer, mockServer, type Served } from './server.ts';

const address = 'https://host.example/m/w.bin';
const serve = (file: Served = { bytes: pattern(100) }): MockServer => mockServer({ '/m/w.bin': file });
const part = (range: string, size = 9): Response =>
  new Response(pattern(size), { status: 206, headers: { 'content-range': range } });

describe('the first answer', () => {
  test.each([
    ['another byte', 'bytes 1-1/100'],
    ['two bytes', 'bytes 0-1/100'],
    ['a size of 0', 'bytes 0-0/0'],
    ['something before the range', 'x bytes 0-0/100'],
    ['something after it', 'bytes 0-0/100 x'],
    ['an unknown size', 'bytes 0-0/*'],
  ])('with %s is no sign of ranges: the file is fetched whole', async (_, range) => {
    const mock = serve();
    mock.alter = (response, asked) => (asked === null ? response : part(range, 1));
    const source = await urlSource(address, { fetch: mock.fetch });
    expect([source.transfer, source.size]).toEqual(['download', 100]);
    expect(mock.log).toEqual(['/m/w.bin bytes=0-0', '/m/w.bin']);
    expect(await source.read(0, 100)).toEqual(pattern(100));
  });

  test('that says a range of an empty file is one of ranges', async () => {
    const source = await urlSource(address, { fetch: serve({ bytes: pattern(0) }).fetch });
    expect([source.transfer, source.size, source.name]).toEqual(['ranges', 0, 'w.bin']);
  });

  test('of HTML is taken where the file is one, not where its name only contains it', async () => {
    for (const [name, code] of [
      ['a.html', 'no error'],
      ['a.HTM', 'no error'],
      ['a.html.bin', 'FILE_MISSING'],
      ['ahtml', 'FILE_MISSING'],
    ] as const) {
      const mock = mockServer({ [`/${name}`]: { bytes: pattern(9), type: 'text/html' } });
      expect(await codeOf(() => urlSource(`https://host.example/${name}`, { fetch: mock.fetch })), name).toBe(code);
    }
    const other = serve({ bytes: pattern(9), type: 'text/htmlx' });
    expect(await codeOf(() => urlSource(address, { fetch: other.fetch }))).toBe('no error');
    const untyped = serve();
    untyped.alter = () => Object.assign(part('bytes 0-0/100', 1));
    expect(await codeOf(() => urlSource(address, { fetch: untyped.fetch }))).toBe('no error');
  });

  test('may have no body, whatever it says', async () => {
    for (const [response, code] of [
      [() => new Response(null, { headers: { 'content-type': 'text/html' } }), 'FILE_MISSING'],
      [() => new Response(null, { status: 206 }), 'URL_RANGE'],
      [() => new Response(null, { headers: { 'content-length': '10' } }), 'URL_RANGE'],
    ] as const) {
      const mock = serve();
      mock.alter = response;
      expect(await codeOf(() => urlSource(address, { fetch: mock.fetch, withoutRanges: 'refuse' }))).toBe(code);
    }
    const large = serve();
    large.alter = () => new Response(null, { headers: { 'content-length': '10' } });
    expect(await codeOf(() => urlSource(address, { fetch: large.fetch, maxDownload: 9 }))).toBe('FILE_SIZE');
    const parts = serve();
    parts.alter = () => new Response(null, { status: 206 });
    expect(await codeOf(() => urlSource(address, { fetch: parts.fetch }))).toBe('URL_RANGE');
  });
});

describe('a download', () => {
  test('of 20 MB in uneven pieces is the file', async () => {
    const bytes = new Uint8Array(20_000_000);
    for (let i = 0; i < bytes.length; i += 997) bytes[i] = i % 251;
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at === bytes.length) return controller.close();
        const end = Math.min(bytes.length, at + 700_001);
        controller.enqueue(bytes.slice(at, end));
        at = end;
      },
    });
    const mock = serve();
    mock.alter = () => new Response(body);
    const source = await urlSource(address, { fetch: mock.fetch });
    expect(source.size).toBe(bytes.length);
    const found = await source.read(0, bytes.length);
    expect(found.every((byte, i) => byte === bytes[i])).toBe(true);
  });

  test('may have exactly the size allowed, announced or not', async () => {
    for (const headers of [{ 'content-length': '100' }, {}] as Record<string, string>[]) {
      const mock = serve();
      mock.alter = () => new Response(pattern(100), { headers });
      expect((await urlSource(address, { fetch: mock.fetch, maxDownload: 100 })).size).toBe(100);
    }
  });

  test('announced too large is not begun: its body is cancelled unread', async () => {
    let pulled = 0;
    let cancelled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: () => void pulled++,
        cancel: () => void cancelled++,
      },
      { highWaterMark: 0 },
    );
    const mock = serve();
    mock.alter = () => new Response(body, { headers: { 'content-length': '101' } });
    expect(await codeOf(() => urlSource(address, { fetch: mock.fetch, maxDownload: 100 }))).toBe('FILE_SIZE');
    expect([pulled, cancelled]).toEqual([0, 1]);
  });

  test('whose announced length is no number is taken as it comes', async () => {
    for (const length of ['99x', 'x99', '']) {
      const mock = serve();
      mock.alter = () => new Response(pattern(100), { headers: { 'content-length': length } });
      expect((await urlSource(address, { fetch: mock.fetch })).size).toBe(100);
    }
  });
});

describe('a later answer', () => {
  const later = async (answer: () => Response, file?: Served): Promise<string> => {
    const mock = serve(file);
    const source = await urlSource(address, { fetch: mock.fetch });
    mock.alter = answer;
    return codeOf(() => source.read(10, 9));
  };
  const answer =
    (range: string, more: Record<string, string> = {}, code = 206) =>
    () =>
      new Response(pattern(9), { status: code, headers: { 'content-range': range, ...more } });

  test('must be the part that was asked for, and say so exactly', async () => {
    expect(await later(answer('bytes 10-18/100'))).toBe('no error');
    expect(await later(answer('bytes 11-18/100'))).toBe('URL_RANGE');
    expect(await later(answer('bytes 10-19/100'))).toBe('URL_RANGE');
    expect(await later(answer('x bytes 10-18/100'))).toBe('URL_RANGE');
    expect(await later(answer('bytes 10-18/100 x'))).toBe('URL_RANGE');
    expect(await later(answer('bytes 10-18/100', {}, 200))).toBe('URL_RANGE');
  });

  test('without a body is refused in each case', async () => {
    const bare =
      (code: number, range = '') =>
      () =>
        new Response(null, { status: code, headers: { 'content-range': range } });
    expect(await later(bare(206))).toBe('URL_RANGE');
    expect(await later(bare(206, 'bytes 10-18/99'))).toBe('FILE_CHANGED');
  });

  test('may have an ETag, or none, where the first had the other', async () => {
    expect(await later(answer('bytes 10-18/100', { etag: '"9"' }))).toBe('no error');
    expect(await later(answer('bytes 10-18/100'), { bytes: pattern(100), etag: '"1"' })).toBe('no error');
    expect(await later(answer('bytes 10-18/100', { etag: '"1"' }), { bytes: pattern(100), etag: '"1"' })).toBe(
      'no error',
    );
  });
});

test('the name is the last part of the path, unescaped where it can be', async () => {
  const names: string[] = [];
  for (const path of ['/a/w%20x.bin', '/a/w%x.bin', '/a/%ff.bin', '/a/']) {
    const mock = mockServer({ [path]: pattern(9) });
    names.push((await urlSource(`https://host.example${path}?q=/z`, { fetch: mock.fetch })).name);
  }
  expect(names).toEqual(['w x.bin', 'w%x.bin', '%ff.bin', 'file']);
});

test('the signal goes into each request, and ends the opening of a folder s file', async () => {
  const signals: unknown[] = [];
  const mock = serve();
  const fetch: typeof globalThis.fetch = (input, init) => {
    signals.push(init?.signal);
    return mock.fetch(input, init);
  };
  const { signal } = new AbortController();
  const source = await urlSource(address, { fetch, signal });
  await source.read(0, 9, { signal });
  await source.read(0, 9);
  expect(signals).toEqual([signal, signal, null]);
  const folder = openUrl('https://host.example/m', { fetch });
  await expect(folder.open('w.bin', AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});

test('http is an address too; long ones are cut in messages', async () => {
  const mock = serve();
  expect((await openUrl('http://host.example/m', { fetch: mock.fetch }).open('w.bin')).size).toBe(100);
  expect(await messageOf(() => openUrl(`/${'x'.repeat(500)}`))).toContain(`"/${'x'.repeat(119)}" is not`);
  const data = `data:text/plain,${'x'.repeat(500)}`;
  const fetch = () => Promise.reject(new Error('no'));
  expect(await messageOf(() => urlSource(data, { fetch }))).toMatch(/^data:text\/plain,x{69} could not/);
});

test('what a network error came from stays its cause', async () => {
  const cause = new TypeError('no route');
  const error = await errorOf(() => urlSource(address, { fetch: () => Promise.reject(cause) }));
  expect(error!.cause).toBe(cause);
  const mock = serve();
  const source = await urlSource(address, { fetch: mock.fetch });
  const body = new ReadableStream({ pull: (controller) => controller.error(cause) });
  mock.alter = () => new Response(body, { status: 206, headers: { 'content-range': 'bytes 0-8/100' } });
  expect((await errorOf(() => source.read(0, 9)))!.cause).toBe(cause);
  mock.alter = () => new Response(null, { status: 404 });
  expect((await errorOf(() => source.read(0, 9)))!.cause).toMatchObject({ code: 'FILE_MISSING' });
});
