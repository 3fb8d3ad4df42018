import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HubCache, openFolder } from '../src/node.ts';
import { codeOf } from './helpers.ts';
import { HOSTILE_NAMES } from './hostile-names.ts';

const COMMIT = '0'.repeat(40);
const HASH = 'a'.repeat(40);
/** Those that this system has files for, as far as its own rules go. */
const SYSTEM = HOSTILE_NAMES.filter((name) => !name.includes('\0') && name.length < 200 && name.isWellFormed());

let outer = '';
beforeAll(async () => {
  outer = await mkdtemp(join(tmpdir(), 'mamba-names-'));
  // What a name would reach, were it followed.
  for (const folder of ['', 'a', 'a/b', 'a/b/c']) {
    await mkdir(join(outer, folder), { recursive: true });
    await mkdir(join(outer, folder, 'etc'));
    await writeFile(join(outer, folder, 'config.json'), '{}');
    await writeFile(join(outer, folder, 'etc/passwd'), 'x');
  }
});
afterAll(() => rm(outer, { recursive: true }));

const everything = async (folder: string): Promise<string[]> => (await readdir(folder, { recursive: true })).sort();

test('no hostile name opens a file outside of a folder on disk, or of another folder in it', async () => {
  const folder = await openFolder(join(outer, 'a/b'));
  for (const name of HOSTILE_NAMES) expect([name, await codeOf(() => folder.open(name))]).toEqual([name, 'FILE_NAME']);
  expect((await folder.open('config.json')).size).toBe(2);
});

test('no hostile name is written by the cache of a hub', async () => {
  const before = await everything(outer);
  const cache = new HubCache(join(outer, 'a/b/c'));
  await mkdir(join(outer, 'a/b/c/models--org--name/blobs'), { recursive: true });
  await writeFile(cache.blob('org/name', HASH), 'x');
  const after = await everything(outer);
  for (const name of HOSTILE_NAMES) {
    expect([name, await codeOf(() => cache.link('org/name', COMMIT, name, HASH))]).toEqual([name, 'FILE_NAME']);
    expect([name, await codeOf(() => cache.sizeOf('org/name', COMMIT, name))]).toEqual([name, 'FILE_NAME']);
    expect([name, await codeOf(() => cache.remove(`org/${name}`))]).toEqual([
      name,
      expect.stringMatching(/^(?:HUB_ID|HUB_MISSING|FILE_NAME)$/),
    ]);
  }
  expect(await everything(outer)).toEqual(after);
  await cache.link('org/name', COMMIT, 'sub/model.gguf', HASH);
  expect(await cache.sizeOf('org/name', COMMIT, 'sub/model.gguf')).toBe(1);
  await cache.remove('org/name');
  expect(await everything(outer)).toEqual(before);
});

test('most of the names could be followed by this system', () => {
  expect(SYSTEM.length).toBeGreaterThan(500);
});
