import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ModelStore, openModel, type PullOptions, pullModel, storedId } from '../src/index.ts';
import { codeOf, pattern } from './helpers.ts';
import { type Asked, type HubServer, startHub } from './hub-server.ts';
import { memoryMedium } from './memory-medium.ts';

const fixture = async (path: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(new URL(`../../../fixtures/${path}`, import.meta.url)));

const plain: Record<string, Uint8Array> = {
  'config.json': await fixture('mamba/plain/config.json'),
  'model.safetensors': await fixture('mamba/plain/model.safetensors'),
};
const weights = plain['model.safetensors']!;

let files: Record<string, Uint8Array>;
let hub: HubServer;
let store: ModelStore;
beforeEach(async () => {
  files = { ...plain, 'README.md': pattern(10_000) };
  hub = await startHub({
    'org/name': files,
    'org/gguf': {
      'a-00001-of-00002.gguf': await fixture('gguf/mamba-bf16-00001-of-00002.gguf'),
      'a-00002-of-00002.gguf': await fixture('gguf/mamba-bf16-00002-of-00002.gguf'),
      'b.gguf': await fixture('gguf/mamba-plain.gguf'),
      'cut.gguf': (await fixture('gguf/mamba-plain.gguf')).subarray(0, -100),
    },
  });
  store = new ModelStore(memoryMedium(), {});
});
afterEach(() => hub.close());

const pull = (id: string, more: PullOptions = {}) =>
  pullModel(store, id, { endpoint: hub.endpoint, patience: { attempts: 1, silenceMs: 2000 }, ...more });
const address = (path: string): string => `${hub.endpoint}/org/${path}`;

/** Bytes of the weights that were asked for: `first-last`. One byte alone only asks what the file is. */
const askedRanges = (): string[] =>
  hub.log
    .filter(({ path, range }) => path.endsWith('model.safetensors') && range !== undefined && range !== 'bytes=0-0')
    .filter(({ host }) => host === 'store')
    .map(({ range }) => range!.slice('bytes='.length));

const cutWeights = (after: number) => {
  hub.fault = ({ host, path }: Asked) =>
    host === 'store' && path.endsWith('model.safetensors') ? { cutAfter: after } : undefined;
};
const heal = (): void => {
  hub.fault = () => undefined;
  hub.log.length = 0;
};

test('a model of the hub comes with progress, opens, and is known under one id', async () => {
  const progress: string[] = [];
  const folder = await pull('org/name@main', { onProgress: (done, total) => progress.push(`${done}/${total}`) });
  const opened = await openModel(folder);
  expect(opened.weights.entries.size).toBeGreaterThan(10);
  const total = plain['config.json']!.length + weights.length;
  expect([progress[0], progress.at(-1)]).toEqual([`0/${total}`, `${total}/${total}`]);
  expect(await store.find(storedId('org/name'))).toMatchObject({ id: 'org/name', complete: true, total });
  expect(hub.log.some(({ path }) => path.includes('README'))).toBe(false);
});

test.each([
  ['of the hub', () => 'org/name'],
  ['from an address', () => address('name/resolve/main/')],
])('%s: cut off, it goes on where it ended', async (_, id) => {
  const half = Math.floor(weights.length / 2);
  if (id().startsWith('http')) {
    // Its headers are read before: of the transfer's own requests there is one.
    hub.fault = ({ host, range }: Asked) =>
      host === 'store' && Number(range?.split('-')[1]) === weights.length - 1 ? { cutAfter: half } : undefined;
  } else cutWeights(half);
  expect(await codeOf(() => pull(id()))).toBe('HUB_NETWORK');
  const before = (await store.find(id()))!;
  expect(before.present).toBe(plain['config.json']!.length + half);
  expect(await store.folder(id())).toBeNull();
  heal();
  const opened = await openModel(await pull(id()));
  expect(askedRanges()).toEqual([`${half}-${weights.length - 1}`]);
  expect(await (await (await store.folder(id()))!.open('model.safetensors')).read(0, weights.length)).toEqual(weights);
  expect(opened.files.map(({ name }) => name)).toEqual(['config.json', 'model.safetensors']);
});

test('bytes that are not the file: said, dropped, and fetched anew the next time', async () => {
  const wrong = Uint8Array.from(weights, (byte, i) => (i === 1000 ? byte ^ 1 : byte));
  hub.fault = ({ host }) => (host === 'store' ? { content: wrong } : undefined);
  expect(await codeOf(() => pull('org/name'))).toBe('HUB_HASH');
  expect((await store.find('org/name'))!.present).toBe(plain['config.json']!.length);
  heal();
  await pull('org/name');
  expect(askedRanges()).toEqual([`0-${weights.length - 1}`]);
});

test.each([
  ['of the hub', () => 'org/name'],
  ['from an address', () => address('name/resolve/main/')],
])('%s: a file that changed between two attempts begins anew', async (_, id) => {
  const stop = new AbortController();
  const reason = new Error('enough');
  const onProgress = (done: number, total: number): void => {
    if (done === total) stop.abort(reason);
  };
  await expect(pull(id(), { signal: stop.signal, onProgress })).rejects.toBe(reason);
  expect((await store.find(id()))!.complete).toBe(false);
  // Another weight, in the same number of bytes.
  files['model.safetensors'] = Uint8Array.from(weights, (byte, i) => (i === weights.length - 1 ? byte ^ 1 : byte));
  const folder = await pull(id());
  expect(await (await folder.open('model.safetensors')).read(0, weights.length)).toEqual(files['model.safetensors']);
});

test('at an address: a GGUF file alone, one in parts, and one whose header is wrong, of which nothing is kept', async () => {
  const one = await pull(address('gguf/resolve/main/b.gguf'));
  expect(await one.list!()).toEqual(['b.gguf']);
  const parts = await pull(address('gguf/resolve/main/a-00002-of-00002.gguf'));
  expect(await parts.list!()).toEqual(['a-00001-of-00002.gguf', 'a-00002-of-00002.gguf']);
  await openModel(parts);
  expect(await codeOf(() => pull(address('gguf/resolve/main/cut.gguf')))).toBe('GGUF_TRUNCATED');
  expect(await codeOf(() => pull(address('gguf/resolve/main/none.gguf')))).toBe('FILE_MISSING');
  expect(await store.list()).toHaveLength(2);
});

test('at an address whose server knows no ranges, the files come whole', async () => {
  hub.fault = () => ({ whole: true });
  const folder = await pull(address('name/resolve/main/'));
  expect(await (await folder.open('model.safetensors')).read(0, weights.length)).toEqual(weights);
});

test("the hub's token goes to the hub, not to an address", async () => {
  await pull(address('name/resolve/main/'), { token: 'secret' });
  expect(hub.log.filter(({ authorization }) => authorization !== undefined)).toEqual([]);
});
