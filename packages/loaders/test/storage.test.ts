import { afterEach, describe, expect, test } from 'vitest';
import {
  cacheMedium,
  type Medium,
  ModelStore,
  openMedium,
  openModel,
  opfsMedium,
  PieceFile,
  type StoredFileInfo,
} from '../src/index.ts';
import { codeOf, errorOf, pattern } from './helpers.ts';
import { memoryMedium } from './memory-medium.ts';

const inBrowser = typeof document !== 'undefined';
const NAME = 'test-of-mamba-ts';

const media: [string, () => Promise<Medium>][] = [['memory', async () => memoryMedium()]];
if (inBrowser) {
  media.push(
    [
      'OPFS',
      async () => opfsMedium(await (await navigator.storage.getDirectory()).getDirectoryHandle(NAME, { create: true })),
    ],
    ['Cache API', async () => cacheMedium(await caches.open(NAME))],
  );
}

afterEach(async () => {
  if (!inBrowser) return;
  await caches.delete(NAME);
  for (const name of [NAME, 'models-of-mamba-ts']) {
    await (await navigator.storage.getDirectory()).removeEntry(name, { recursive: true }).catch(() => {});
  }
});

const info = (name: string, size: number, version: string | null = 'v1'): StoredFileInfo => ({ name, size, version });
const locks = inBrowser ? navigator.locks : undefined;

describe.each(media)('pieces in %s', (_, open) => {
  test('are listed, read in part, written over, and removed with their folder', async () => {
    const medium = await open();
    await medium.put(['a', 'b', '0'], pattern(100));
    await medium.put(['a', 'b', '100'], pattern(50));
    await medium.put(['a', 'record'], pattern(7));
    await medium.put(['other', 'x'], pattern(1));
    expect(await medium.list([])).toEqual(
      new Map([
        ['a', null],
        ['other', null],
      ]),
    );
    expect(await medium.list(['a'])).toEqual(
      new Map([
        ['b', null],
        ['record', 7],
      ]),
    );
    expect(await medium.list(['a', 'b'])).toEqual(
      new Map([
        ['0', 100],
        ['100', 50],
      ]),
    );
    expect(await medium.list(['a', 'nothing'])).toEqual(new Map());
    const blob = await medium.get(['a', 'b', '0']);
    expect(new Uint8Array(await blob!.slice(10, 20).arrayBuffer())).toEqual(pattern(100).slice(10, 20));
    expect(await medium.get(['a', 'b', '1'])).toBeNull();
    await medium.put(['a', 'b', '0'], pattern(3));
    expect((await medium.get(['a', 'b', '0']))!.size).toBe(3);
    await medium.remove(['a']);
    await medium.remove(['a']);
    expect(await medium.list([])).toEqual(new Map([['other', null]]));
  });

  test('a file in any order, in writes of any size; opened again it knows what has come', async () => {
    const medium = await open();
    const bytes = pattern(10_000_000);
    const file = await PieceFile.open(medium, ['m', '0'], 'w.bin', bytes.length);
    // Two connections, from 0 and from 6,000,000, taking turns, in network-sized chunks.
    for (let at = 0; at < 4_000_000; at += 100_000) {
      await file.write(at, bytes.subarray(at, at + 100_000));
      await file.write(6_000_000 + at, bytes.subarray(6_000_000 + at, 6_000_000 + at + 100_000));
    }
    expect(file.present).toBe(0);
    await file.flush();
    expect(file.ranges).toEqual([
      { start: 0, end: 4_000_000 },
      { start: 6_000_000, end: 10_000_000 },
    ]);
    const again = await PieceFile.open(medium, ['m', '0'], 'w.bin', bytes.length);
    expect(again.ranges).toEqual(file.ranges);
    expect(again.complete).toBe(false);
    expect(await codeOf(() => again.read(3_999_990, 20))).toBe('FILE_READ');
    await again.write(4_000_000, bytes.subarray(4_000_000, 6_000_000));
    await again.flush();
    expect(again.complete).toBe(true);
    expect(await again.read(3_999_990, 2_000_020)).toEqual(bytes.slice(3_999_990, 6_000_010));
    expect(await codeOf(() => again.write(9_999_999, pattern(2)))).toBe('FILE_RANGE');
  });

  test('a model comes in two attempts, then opens; the second brings only what is missing', async () => {
    const store = new ModelStore(await open(), { locks });
    const files = [info('config.json', 2), info('model.bin', 9_000_000)];
    const bytes = pattern(9_000_000);
    const stop = new Error('stopped');
    await expect(
      store.store('org/name', files, async (model) => {
        await model.files[1]!.write(0, bytes.subarray(0, 5_000_000));
        throw stop;
      }),
    ).rejects.toBe(stop);
    expect(await store.find('org/name')).toMatchObject({ present: 5_000_000, total: 9_000_002, complete: false });
    expect(await store.folder('org/name')).toBeNull();
    await store.store('org/name', files, async (model) => {
      expect(model.files[1]!.ranges).toEqual([{ start: 0, end: 5_000_000 }]);
      await model.files[0]!.write(0, new TextEncoder().encode('{}'));
      await model.files[1]!.write(5_000_000, bytes.subarray(5_000_000));
      for (const file of model.files) await file.flush();
      await model.finish();
    });
    expect(await store.list()).toEqual([
      { id: 'org/name', files, present: 9_000_002, total: 9_000_002, complete: true },
    ]);
    const folder = (await store.folder('org/name'))!;
    expect(folder.name).toBe('name');
    expect(await folder.list!()).toEqual(['config.json', 'model.bin']);
    expect(await (await folder.open('model.bin')).read(4_999_999, 3)).toEqual(bytes.slice(4_999_999, 5_000_002));
    expect(await codeOf(() => folder.open('other'))).toBe('FILE_MISSING');
    // A folder like any other: the config is read, and what is wrong with it is said.
    expect(await codeOf(() => openModel(folder))).toBe('MODEL_FILE');
    await store.remove('org/name');
    expect(await store.list()).toEqual([]);
  });

  test('what changed at the server is dropped, what did not is kept', async () => {
    const store = new ModelStore(await open(), { locks });
    const fill = async (files: StoredFileInfo[]) => {
      let found: number[] | null = null;
      await store.store('http://127.0.0.1:1/m/', files, async (model) => {
        found = model.files.map(({ present }) => present);
        for (const file of model.files) {
          await file.write(0, pattern(file.size));
          await file.flush();
        }
        await model.finish();
      });
      return found;
    };
    expect(await fill([info('a', 10), info('b', 20)])).toEqual([0, 0]);
    expect(await fill([info('a', 10), info('b', 20)])).toBeNull();
    expect(await fill([info('a', 10), info('b', 20, 'v2')])).toEqual([10, 0]);
    expect(await fill([info('b', 20, 'v2')])).toEqual([0]);
    expect((await store.find('http://127.0.0.1:1/m/'))!.files).toHaveLength(1);
  });
});

test('no more is fetched than can be kept: needed and available are said', async () => {
  const storage = { estimate: async () => ({ quota: 1000, usage: 400 }) } as StorageManager;
  const store = new ModelStore(memoryMedium(), { storage });
  let started = false;
  const run = () =>
    store.store('org/large', [info('m', 601)], async () => {
      started = true;
    });
  const error = await errorOf(run);
  expect(error?.code).toBe('STORAGE_QUOTA');
  expect(error?.details).toEqual({ needed: 601, available: 600 });
  expect(error?.message).toMatch(/Remove models/);
  expect(started).toBe(false);
});

test('a disk that fills up while writing gives the same error, and what came is kept', async () => {
  const full = new DOMException('full', 'QuotaExceededError');
  const stream = { write: async () => Promise.reject(full), abort: async () => {}, close: async () => {} };
  const root = {
    getFileHandle: async () => ({ createWritable: async () => stream }),
  } as unknown as FileSystemDirectoryHandle;
  const medium = opfsMedium(root, { estimate: async () => ({ quota: 10, usage: 7 }) } as StorageManager);
  const error = await errorOf(() => medium.put(['0'], pattern(5)));
  expect(error?.code).toBe('STORAGE_QUOTA');
  expect(error?.details).toEqual({ needed: 5, available: 3 });
});

test('names that lead elsewhere, and names twice, are refused before anything is written', async () => {
  const medium = memoryMedium();
  const store = new ModelStore(medium, {});
  for (const name of ['../x', 'a/b', '..', 'C:x', 'a\0', '', '%2e%2e'])
    expect(await codeOf(() => store.store('org/name', [info(name, 1)], async () => {}))).toBe('FILE_NAME');
  const twice = [info('a', 1), info('a', 2)];
  expect(await codeOf(() => store.store('org/name', twice, async () => {}))).toBe('FILE_DUPLICATE');
  expect(await medium.list([])).toEqual(new Map());
});

test('records that are mangled count as nothing', async () => {
  const medium = memoryMedium();
  const store = new ModelStore(medium, {});
  await store.store('org/name', [info('a', 1)], async (model) => {
    expect(await codeOf(() => model.finish())).toBe('STORAGE_INCOMPLETE');
    await model.files[0]!.write(0, pattern(1));
    await model.finish();
  });
  expect(await store.list()).toHaveLength(1);
  const [key] = (await medium.list([])).keys();
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"version":2}',
    '{"version":1,"id":"x","files":[{"size":-1}]}',
    '{"version":1,"id":"x","files":[{"name":"../a","size":1,"version":null}],"complete":true}',
  ]) {
    await medium.put([key!, 'record.json'], new TextEncoder().encode(text));
    expect(await store.list()).toEqual([]);
    expect(await store.folder('org/name')).toBeNull();
  }
});

test.runIf(inBrowser)(
  'a second tab waits for the first and finds its work done; what is being stored stays',
  async () => {
    const medium = memoryMedium();
    const [first, second] = [new ModelStore(medium, { locks }), new ModelStore(medium, { locks })];
    const files = [info('a', 10)];
    const events: string[] = [];
    let go!: () => void;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    let entered!: () => void;
    const inside = new Promise<void>((resolve) => {
      entered = resolve;
    });
    const one = first.store('org/name', files, async (model) => {
      entered();
      await gate;
      await model.files[0]!.write(0, pattern(10));
      await model.files[0]!.flush();
      await model.finish();
    });
    await inside;
    const onWait = (): void => void events.push('waits');
    const two = second.store('org/name', files, async () => void events.push('works'), {
      onWait,
    });
    expect(await codeOf(() => second.remove('org/name'))).toBe('STORAGE_BUSY');
    const stop = new AbortController();
    const three = second.store('org/name', files, async () => {}, { signal: stop.signal });
    stop.abort(new Error('tired of waiting'));
    await expect(three).rejects.toThrow('tired of waiting');
    go();
    await Promise.all([one, two]);
    expect(events).toEqual(['waits']);
    expect((await second.find('org/name'))!.complete).toBe(true);
    await second.remove('org/name');
  },
);

test('OPFS first, the Cache API where there is none, and where there is neither it is said', async () => {
  const error = await errorOf(() => openMedium({}));
  expect(error?.code).toBe('STORAGE_UNAVAILABLE');
  expect(error?.message).toMatch(/https and localhost/);
  if (!inBrowser) return;
  expect((await openMedium()).kind).toBe('opfs');
  const broken = { getDirectory: async () => Promise.reject(new DOMException('private', 'SecurityError')) };
  expect((await openMedium({ storage: broken as unknown as StorageManager, caches })).kind).toBe('cache');
  await caches.delete('models-of-mamba-ts');
});
