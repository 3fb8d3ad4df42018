import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openModel, openSafetensors, safetensorsWeights, type TensorToWrite } from '../src/index.ts';
import { openFile, openFolder, saveSafetensors } from '../src/node.ts';
import { codeOf, file, join as joined, messageOf, pattern } from './helpers.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-loaders-'));
});
afterEach(() => rm(folder, { recursive: true }));

const tensor = (data: TensorToWrite['data'] = pattern(8)): TensorToWrite => ({
  name: 'w',
  dtype: 'f32',
  shape: [2],
  data,
});

test('a model folder on disk, links included', async () => {
  const mine = join(folder, 'mine');
  await mkdir(join(mine, 'below'), { recursive: true });
  await writeFile(join(mine, 'config.json'), '{"model_type":"mamba"}');
  await saveSafetensors(join(folder, 'blob'), [tensor()]);
  await symlink(join(folder, 'blob'), join(mine, 'model.safetensors'));
  const opened = await openFolder(`${mine}/`);
  expect(opened.name).toBe('mine');
  expect(await opened.list!()).toEqual(['config.json', 'model.safetensors']);
  const model = await openModel(opened);
  expect(await joined(model.weights.read('w'))).toEqual(pattern(8));
  expect(model.files).toEqual([
    { name: 'config.json', size: 22 },
    { name: 'model.safetensors', size: 72 },
  ]);
});

test('what is missing or no file is told', async () => {
  await writeFile(join(folder, 'a'), 'x');
  expect(await codeOf(() => openFolder(join(folder, 'absent')))).toBe('FILE_MISSING');
  expect(await codeOf(() => openFolder(join(folder, 'a')))).toBe('FILE_READ');
  expect(await codeOf(() => openFile(join(folder, 'absent')))).toBe('FILE_MISSING');
  expect(await codeOf(() => openFile(folder))).toBe('FILE_READ');
  const opened = await openFolder(folder);
  expect(await messageOf(() => opened.open('config.json'))).toBe(`${folder} has no file config.json; it holds a`);
  expect(await codeOf(() => opened.open('../a'))).toBe('FILE_NAME');
});

test.skipIf(process.platform === 'win32')('a pipe is refused at once', async () => {
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  expect(await codeOf(() => openFile(join(folder, 'pipe')))).toBe('FILE_READ');
});

test('a file reads any range', async () => {
  await writeFile(join(folder, 'a'), pattern(3000));
  const source = await openFile(join(folder, 'a'));
  expect([source.name, source.size]).toEqual(['a', 3000]);
  expect(await source.read(10, 20)).toEqual(pattern(3000).slice(10, 30));
  expect(await source.read(3000, 0)).toEqual(pattern(0));
  expect((await openFile(pathToFileURL(join(folder, 'a')))).size).toBe(3000);
  expect(await codeOf(() => source.read(2999, 2))).toBe('FILE_RANGE');
});

test('a file that changes between reads is told: longer, replaced, rewritten, gone', async () => {
  const path = join(folder, 'a');
  const changedBy = async (change: () => Promise<void>) => {
    await writeFile(path, pattern(100));
    await utimes(path, 1000, 1000);
    const source = await openFile(path);
    await source.read(0, 1);
    await change();
    return codeOf(() => source.read(0, 1));
  };
  expect(await changedBy(() => writeFile(path, pattern(101)))).toBe('FILE_CHANGED');
  expect(await changedBy(() => utimes(path, 1, 1))).toBe('FILE_CHANGED');
  expect(
    await changedBy(async () => {
      await rm(path);
      await writeFile(path, pattern(100));
    }),
  ).toBe('FILE_CHANGED');
  await writeFile(join(folder, 'b'), pattern(100, 1));
  await utimes(join(folder, 'b'), 1000, 1000);
  const replaced = changedBy(() => rename(join(folder, 'b'), path)); // size and time stay, the file is another
  expect(await replaced).toBe('FILE_CHANGED');
  expect(await changedBy(() => rm(path))).toBe('FILE_MISSING');
});

test('20 MB from disk in pieces, an abort between steps', async () => {
  const path = join(folder, 'big.safetensors');
  const data = new Uint8Array(20 << 20);
  for (let i = 0; i < data.length; i += 4099) data[i] = i % 251;
  await saveSafetensors(path, [{ name: 'w', dtype: 'bf16', shape: [10 << 20], data }]);
  const weights = safetensorsWeights([await openSafetensors(await openFile(path))]);
  expect(Buffer.compare(await joined(weights.read('w')), data)).toBe(0);
  const abort = new AbortController();
  const reading = joined(weights.read('w', abort.signal));
  setImmediate(() => abort.abort(new Error('enough')));
  await expect(reading).rejects.toThrow('enough');
});

test('saving writes what the stream holds, over an old file too', async () => {
  const path = join(folder, 'a.safetensors');
  await writeFile(path, 'old');
  await saveSafetensors(path, [tensor()], { format: 'pt' });
  expect(new Uint8Array(await readFile(path))).toEqual(await file([tensor()], { format: 'pt' }));
  expect(await readdir(folder)).toEqual(['a.safetensors']);
});

test('a saving that fails leaves the old file and nothing else', async () => {
  const path = join(folder, 'a.safetensors');
  await writeFile(path, 'old');
  async function* broken() {
    yield pattern(4);
    throw new Error('source failed');
  }
  async function* short() {
    yield pattern(4);
  }
  const abort = new AbortController();
  async function* aborting() {
    yield pattern(4);
    abort.abort(new Error('stop'));
    yield pattern(4);
  }
  await expect(saveSafetensors(path, [tensor(broken())])).rejects.toThrow('source failed');
  expect(await codeOf(() => saveSafetensors(path, [tensor(short())]))).toBe('TENSOR_SIZE');
  expect(await codeOf(() => saveSafetensors(path, [tensor(pattern(4))]))).toBe('TENSOR_SIZE');
  await expect(saveSafetensors(path, [tensor(aborting())], undefined, abort.signal)).rejects.toThrow('stop');
  expect(await codeOf(() => saveSafetensors(join(folder, 'absent', 'a'), [tensor()]))).toBe('FILE_MISSING');
  await mkdir(join(folder, 'taken'));
  expect(await codeOf(() => saveSafetensors(join(folder, 'taken'), [tensor()]))).toBe('FILE_WRITE');
  expect(await readdir(folder)).toEqual(['a.safetensors', 'taken']);
  expect(await readFile(path, 'utf8')).toBe('old');
});
