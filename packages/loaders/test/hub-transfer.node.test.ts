import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ExpectedFile,
  expectedFile,
  type HubOptions,
  listHub,
  memorySource,
  type PartFile,
  type PartRange,
  parseHubId,
  Sha256,
  transfer,
} from '../src/index.ts';
import { codeOf, errorOf, pattern } from './helpers.ts';
import { type Asked, type Fault, type HubServer, startHub } from './hub-server.ts';

/** A part file in memory that keeps what was written at once. */
function memoryPart(size: number, kept: PartRange[] = []): PartFile & { readonly bytes: Uint8Array; flushed: number } {
  const bytes = new Uint8Array(size);
  const part = {
    ...memorySource('part', bytes),
    bytes,
    flushed: 0,
    ranges: kept,
    async write(start: number, piece: Uint8Array) {
      bytes.set(piece, start);
    },
    async flush() {
      part.flushed++;
    },
  };
  return part;
}

const LARGE = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251);
const SMALL = pattern(500);
const patience = { delayMs: 1, attempts: 3, silenceMs: 300 };

let hub: HubServer;
beforeEach(async () => {
  hub = await startHub({ 'org/name': { 'model.safetensors': LARGE, 'config.json': SMALL, empty: new Uint8Array() } });
});
afterEach(() => hub.close());

async function expected(path: string, options: HubOptions = {}): Promise<ExpectedFile> {
  const listing = await listHub(parseHubId('org/name'), { endpoint: hub.endpoint, ...options });
  return expectedFile(listing, listing.files.find((file) => file.path === path)!, { endpoint: hub.endpoint });
}

async function fetchAll(path = 'model.safetensors', more: Parameters<typeof transfer>[2] = {}): Promise<Uint8Array> {
  const file = await expected(path);
  const part = memoryPart(file.size);
  await transfer(file, part, { chunkBytes: 1 << 16, patience, ...more });
  return part.bytes;
}

const ofFile = ({ host, path }: Asked): boolean => host === 'store' || path.includes('/resolve/');
/** A fault for the first `count` requests of a file. */
const first = (count: number, fault: Fault): void => {
  let seen = 0;
  hub.fault = (asked) => (asked.host === 'store' && seen++ < count ? fault : undefined);
};

describe('a transfer', () => {
  test('in ranges over several connections, through a redirect to a second host', async () => {
    const told: number[] = [];
    expect(await fetchAll('model.safetensors', { onProgress: (done) => told.push(done) })).toEqual(LARGE);
    const ranges = hub.log.filter(({ host }) => host === 'store').map(({ range }) => range);
    expect(ranges.sort()).toEqual([
      'bytes=0-65535',
      'bytes=131072-196607',
      'bytes=196608-262143',
      'bytes=262144-299999',
      'bytes=65536-131071',
    ]);
    expect(told[0]).toBe(0);
    expect(told.at(-1)).toBe(300_000);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
  });

  test('of a small file is checked by the hash of git, one of an empty file too', async () => {
    expect(await fetchAll('config.json')).toEqual(SMALL);
    expect(await fetchAll('empty')).toEqual(new Uint8Array());
  });

  test('sends the token to the hub and never to the second host', async () => {
    await hub.close();
    hub = await startHub({ 'org/name': { 'model.safetensors': LARGE } }, { token: 'hf_secret' });
    const file = await expected('model.safetensors', { token: 'hf_secret' });
    const part = memoryPart(file.size);
    await transfer(file, part, { token: 'hf_secret' });
    expect(part.bytes).toEqual(LARGE);
    const sent = (host: Asked['host']) => new Set(hub.log.filter((a) => a.host === host).map((a) => a.authorization));
    expect(sent('hub')).toEqual(new Set(['Bearer hf_secret']));
    expect(sent('store')).toEqual(new Set([undefined]));
  });

  test('fetches only what is missing', async () => {
    const file = await expected('model.safetensors');
    const part = memoryPart(file.size, [
      { start: 0, end: 100_000 },
      { start: 150_000, end: 299_000 },
    ]);
    part.bytes.set(LARGE.subarray(0, 100_000));
    part.bytes.set(LARGE.subarray(150_000, 299_000), 150_000);
    await transfer(file, part, { chunkBytes: 1 << 16 });
    expect(part.bytes).toEqual(LARGE);
    const ranges = hub.log.filter(({ host }) => host === 'store').map(({ range }) => range);
    expect(ranges.sort()).toEqual(['bytes=100000-131071', 'bytes=131072-149999', 'bytes=299000-299999']);
  });
});

describe('tried again:', () => {
  test('a cut connection, from the byte where it broke off', async () => {
    first(2, { cutAfter: 1000 });
    expect(await fetchAll('model.safetensors', { connections: 1 })).toEqual(LARGE);
    const ranges = hub.log.filter(({ host }) => host === 'store').map(({ range }) => range);
    expect(ranges.slice(0, 3)).toEqual(['bytes=0-65535', 'bytes=1000-65535', 'bytes=2000-65535']);
  });

  test('a connection that falls silent', async () => {
    first(1, { silentAfter: 2000 });
    expect(await fetchAll('model.safetensors')).toEqual(LARGE);
  });

  test('429 and 5xx, not before Retry-After', async () => {
    for (const status of [429, 500, 503]) {
      first(1, { status, headers: { 'retry-after': '1' } });
      const started = performance.now();
      expect(await fetchAll('model.safetensors')).toEqual(LARGE);
      expect(performance.now() - started).toBeGreaterThanOrEqual(990);
    }
  });

  test('not where Retry-After asks for too long, nor forever', async () => {
    first(9, { status: 429, headers: { 'retry-after': '3600' } });
    expect(await codeOf(() => fetchAll('model.safetensors', { connections: 1 }))).toBe('HUB_BUSY');
    expect(hub.log.filter(({ host }) => host === 'store')).toHaveLength(1);
    hub.log.length = 0;
    first(1e9, { cutAfter: 10 });
    expect(await codeOf(() => fetchAll('model.safetensors', { connections: 1 }))).toBe('HUB_NETWORK');
    expect(hub.log.filter(({ host }) => host === 'store')).toHaveLength(3);
  });
});

describe('refused:', () => {
  test.each([
    [401, 'HUB_AUTH', 'HF_TOKEN'],
    [403, 'HUB_AUTH', 'accept its conditions'],
    [404, 'HUB_MISSING', 'Check the spelling'],
    [416, 'HUB_RANGE', 'Try again'],
    [418, 'HUB_STATUS', 'HF_ENDPOINT'],
  ])('HTTP %i at once, as %s with its remedy', async (status, code, remedy) => {
    hub.fault = (asked) => (ofFile(asked) ? { status } : undefined);
    const error = await errorOf(() => fetchAll('model.safetensors', { connections: 1 }));
    expect(error?.code).toBe(code);
    expect(error?.message).toContain(remedy);
    expect(error?.message).toContain('org/name: model.safetensors');
    expect(hub.log.filter(ofFile)).toHaveLength(1);
  });

  test('another file: by its size, or by its hash', async () => {
    hub.fault = (asked) => (asked.host === 'store' ? { content: LARGE.subarray(1) } : undefined);
    expect(await codeOf(() => fetchAll())).toBe('HUB_SIZE');
    const other = LARGE.slice();
    other[123_456]! ^= 1;
    hub.fault = (asked) => (asked.host === 'store' ? { content: other } : undefined);
    expect(await codeOf(() => fetchAll())).toBe('HUB_HASH');
    hub.fault = (asked) => (ofFile(asked) ? { content: pattern(500, 1) } : undefined);
    expect(await codeOf(() => fetchAll('config.json'))).toBe('HUB_HASH');
  });

  test('a file whose ETag changes on the way', async () => {
    let seen = 0;
    hub.fault = (asked) => (asked.host === 'store' ? { headers: { etag: `"${seen++}"` } } : undefined);
    expect(await codeOf(() => fetchAll())).toBe('HUB_CHANGED');
  });

  test('a server that ignores ranges, except for what is one range', async () => {
    hub.fault = () => ({ whole: true });
    expect(await codeOf(() => fetchAll())).toBe('HUB_RANGE');
    expect(await fetchAll('model.safetensors', { chunkBytes: 1 << 20 })).toEqual(LARGE);
  });

  test('another range than was asked for', async () => {
    hub.fault = (asked) => (asked.host === 'store' ? { headers: { 'content-range': 'bytes 1-9/300000' } } : undefined);
    expect(await codeOf(() => fetchAll())).toBe('HUB_RANGE');
  });
});

test('an abort ends it within a chunk, and what came is flushed', async () => {
  hub.fault = (asked) => (asked.host === 'store' ? { slowMs: 50 } : undefined);
  const file = await expected('model.safetensors');
  const part = memoryPart(file.size);
  const stop = new AbortController();
  const reason = new Error('enough');
  const onProgress = (done: number): void => {
    if (done > 0) stop.abort(reason);
  };
  await expect(transfer(file, part, { signal: stop.signal, onProgress })).rejects.toBe(reason);
  expect(part.flushed).toBe(1);
});

describe('the listing', () => {
  test('names the commit, and sizes and hashes of the files', async () => {
    const { commit, files } = await listHub(parseHubId('org/name'), { endpoint: `${hub.endpoint}/` });
    expect(commit).toBe(hub.commit('org/name'));
    expect(files.map(({ path, size, sha256 }) => [path, size, sha256?.length])).toEqual([
      ['model.safetensors', 300_000, 64],
      ['config.json', 500, undefined],
      ['empty', 0, undefined],
    ]);
  });

  test('of what the hub does not have, or lets nobody see, is an error with its remedy', async () => {
    expect(await codeOf(() => listHub(parseHubId('org/other'), { endpoint: hub.endpoint }))).toBe('HUB_MISSING');
    expect(await codeOf(() => listHub(parseHubId('org/name@v9'), { endpoint: hub.endpoint }))).toBe('HUB_MISSING');
    hub.fault = () => ({ status: 401 });
    expect(await codeOf(() => listHub(parseHubId('org/name'), { endpoint: hub.endpoint }))).toBe('HUB_AUTH');
    const garbled = { endpoint: hub.endpoint, token: 'hf_\r\nx: y' };
    expect(await codeOf(() => listHub(parseHubId('org/name'), garbled))).toBe('HUB_AUTH');
    expect(await codeOf(() => listHub(parseHubId('org/name'), { endpoint: 'ftp://hub' }))).toBe('HUB_ADDRESS');
    const closed = { endpoint: 'http://127.0.0.1:1', patience };
    expect(await codeOf(() => listHub(parseHubId('org/name'), closed))).toBe('HUB_NETWORK');
  });

  test.each([
    ['no object', []],
    ['a commit that is a path', { sha: '../../etc', siblings: [] }],
    ['no files', { sha: '0'.repeat(40) }],
    ['a negative size', { sha: '0'.repeat(40), siblings: [{ rfilename: 'a', size: -1, blobId: '0'.repeat(40) }] }],
    ['a hash that is a path', { sha: '0'.repeat(40), siblings: [{ rfilename: 'a', size: 1, blobId: '/etc/passwd' }] }],
    [
      'an LFS hash that is a path',
      {
        sha: '0'.repeat(40),
        siblings: [{ rfilename: 'a', size: 1, blobId: '0'.repeat(40), lfs: { sha256: `../${'0'.repeat(61)}` } }],
      },
    ],
    [
      'a name twice',
      { sha: '0'.repeat(40), siblings: [1, 2].map((size) => ({ rfilename: 'a', size, blobId: '0'.repeat(40) })) },
    ],
  ])('with %s is refused', async (_, json) => {
    hub.fault = () => ({ json });
    expect(await codeOf(() => listHub(parseHubId('org/name'), { endpoint: hub.endpoint }))).toBe('HUB_ANSWER');
  });
});

test('SHA-256 in TypeScript is that of the platform, however the bytes are cut', () => {
  for (const size of [0, 1, 55, 56, 63, 64, 65, 119, 128, 1000]) {
    const bytes = pattern(size);
    for (const step of [1, 7, 64, 1000]) {
      const hash = new Sha256();
      for (let at = 0; at < size; at += step) hash.update(bytes.subarray(at, at + step));
      expect(hash.hex()).toBe(createHash('sha256').update(bytes).digest('hex'));
    }
  }
});
