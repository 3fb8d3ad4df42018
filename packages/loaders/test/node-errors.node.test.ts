import { execFileSync } from 'node:child_process';
import { type FileHandle, mkdir, mkdtemp, open, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openFile, openFolder, saveFile } from '../src/node.ts';
import { codeOf, errorOf, pattern } from './helpers.ts';

let folder: string;
/** What all file handles inherit from: system calls fail here on request. */
let handles: FileHandle;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-loaders-'));
  const handle = await open(folder);
  handles = Object.getPrototypeOf(handle);
  await handle.close();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code, syscall: 'any' }));

async function told(run: () => unknown): Promise<[string, string, object]> {
  const error = (await errorOf(run))!;
  return [error.code, error.message, error.details];
}

describe('reading', () => {
  test('what is missing, a folder, a pipe: code, message, details and cause', async () => {
    const file = join(folder, 'a');
    await writeFile(file, 'x');
    for (const path of [join(folder, 'absent'), join(file, 'below')]) {
      const missing: [string, string, object] = ['FILE_MISSING', `${path} does not exist`, { file: path }];
      expect(await told(() => openFile(path))).toEqual(missing);
      expect(await told(() => openFolder(path))).toEqual(missing);
      expect((await errorOf(() => openFile(path)))!.cause).toMatchObject({ syscall: 'open' });
    }
    expect(await told(() => openFile(folder))).toEqual([
      'FILE_READ',
      `${folder} is a folder, not a file`,
      { file: folder },
    ]);
    expect(await told(() => openFolder(file))).toEqual([
      'FILE_READ',
      `${file} is not a folder. Pass the folder that holds config.json.`,
      { file },
    ]);
    if (process.platform === 'win32') return;
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    expect(await told(() => openFile(pipe))).toEqual([
      'FILE_READ',
      `${pipe} is a device or pipe, not a file`,
      { file: pipe },
    ]);
  });

  test('a name too long for the system cannot be opened', async () => {
    const path = join(folder, 'x'.repeat(5000));
    expect(await told(() => openFile(path))).toEqual([
      'FILE_READ',
      `${path} cannot be opened (ENAMETOOLONG).`,
      { file: path, code: 'ENAMETOOLONG' },
    ]);
  });

  test('a file in the place of a model s file that is a folder is no missing file', async () => {
    await mkdir(join(folder, 'config.json'));
    expect(await codeOf(async () => (await openFolder(folder)).open('config.json'))).toBe('FILE_READ');
  });

  test('a folder that has gone cannot be listed', async () => {
    const path = join(folder, 'mine');
    await mkdir(path);
    const opened = await openFolder(path);
    await rm(path, { recursive: true });
    expect(await codeOf(() => opened.list!())).toBe('FILE_MISSING');
    await writeFile(path, 'a file now');
    expect(await codeOf(() => opened.list!())).toBe('FILE_MISSING');
  });

  test('lists are sorted', async () => {
    for (const name of ['b', 'a', 'c', 'B', '10', '9']) await writeFile(join(folder, name), '');
    expect(await (await openFolder(folder)).list!()).toEqual(['10', '9', 'B', 'a', 'b', 'c']);
  });

  test('one and a half steps of 1 MiB, short answers of the system and all', async () => {
    const path = join(folder, 'a');
    const bytes = pattern(1_572_864);
    await writeFile(path, bytes);
    const source = await openFile(path);
    expect(Buffer.compare(await source.read(0, bytes.length), bytes)).toBe(0);
    const { read } = handles;
    vi.spyOn(handles, 'read').mockImplementation(function (this: FileHandle, ...args: unknown[]) {
      const [out, at, length, from] = args as [Uint8Array, number, number, number];
      return Reflect.apply(read, this, [out, at, Math.min(length, 500_001), from]) as never;
    });
    expect(Buffer.compare(await source.read(7, bytes.length - 7), bytes.subarray(7))).toBe(0);
  });

  test('a failing disk', async () => {
    const path = join(folder, 'a');
    await writeFile(path, pattern(100));
    const source = await openFile(path);
    vi.spyOn(handles, 'read').mockImplementation(failing('EIO') as never);
    expect(await told(() => source.read(0, 9))).toEqual([
      'FILE_READ',
      `${path} cannot be read (EIO).`,
      { file: path, code: 'EIO' },
    ]);
  });

  test('a file that ends early or has another size, also of the same age, has changed', async () => {
    const path = join(folder, 'a');
    await writeFile(path, pattern(100));
    await utimes(path, 1000, 1000);
    const source = await openFile(path);
    vi.spyOn(handles, 'read').mockResolvedValue({ bytesRead: 0 } as never);
    expect(await told(() => source.read(5, 9))).toEqual([
      'FILE_CHANGED',
      `${path} changed while it was read: it ends at byte 5. Load it again from the start.`,
      { file: path },
    ]);
    vi.restoreAllMocks();
    await writeFile(path, pattern(101));
    await utimes(path, 1000, 1000);
    expect(await told(() => source.read(5, 9))).toEqual([
      'FILE_CHANGED',
      `${path} changed while it was read: it had 100 bytes and has 101, or was written to. Load it again from the start.`,
      { file: path },
    ]);
  });
});

describe('writing', () => {
  const save = (...pieces: Uint8Array[]) => saveFile(join(folder, 'out'), pieces);

  test('one and a half steps of 1 MiB, short answers of the system and all', async () => {
    const bytes = pattern(1_572_864);
    await save(bytes, pattern(3));
    expect(Buffer.compare(await readFile(join(folder, 'out')), Buffer.concat([bytes, pattern(3)]))).toBe(0);
    const { write } = handles;
    vi.spyOn(handles, 'write').mockImplementation(function (this: FileHandle, ...args: unknown[]) {
      const [data, at, length] = args as [Uint8Array, number, number];
      return Reflect.apply(write, this, [data, at, Math.min(length, 500_001)]) as never;
    });
    await save(bytes);
    expect(Buffer.compare(await readFile(join(folder, 'out')), bytes)).toBe(0);
  });

  test.skipIf(process.platform === 'win32')(
    'flushes the file before it gets its name, and then the folder',
    async () => {
      const { sync } = handles;
      const held: string[][] = [];
      vi.spyOn(handles, 'sync').mockImplementation(async function (this: FileHandle) {
        held.push((await readdir(folder)).map((name) => (name.endsWith('.tmp') ? 'temporary' : name)));
        return sync.call(this);
      });
      await save(pattern(9));
      expect(held).toEqual([['temporary'], ['out']]);
    },
  );

  test.each([
    ['ENOSPC', ' The disk is full.'],
    ['EACCES', ' Check its permissions.'],
    ['EPERM', ' Check its permissions.'],
    ['EIO', ''],
  ])('%s: the remedy, and nothing is left', async (code, remedy) => {
    vi.spyOn(handles, 'write').mockImplementation(failing(code) as never);
    const file = join(folder, 'out');
    expect(await told(() => save(pattern(9)))).toEqual([
      'FILE_WRITE',
      `${file} cannot be written (${code}).${remedy}`,
      { file, code },
    ]);
    expect((await errorOf(() => save(pattern(9))))!.cause).toMatchObject({ code });
    expect(await readdir(folder)).toEqual([]);
  });

  test('an aborted signal: nothing is begun', async () => {
    const stopped = saveFile(join(folder, 'out'), [pattern(9)], AbortSignal.abort(new Error('stop')));
    await expect(stopped).rejects.toThrow('stop');
    expect(await readdir(folder)).toEqual([]);
  });
});
