import { isMambaError } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { checkHubPath } from '../src/hub/id.ts';
import {
  checkFileName,
  chooseFiles,
  type ModelFolder,
  memoryFolder,
  memorySource,
  openModel,
  openPytorch,
  openUrl,
  parseHubId,
} from '../src/index.ts';
import { codeOf } from './helpers.ts';
import { HOSTILE_NAMES } from './hostile-names.ts';
import { archiveFiles, int, stateOps, zip } from './pytorch-writer.ts';

/** The names for which `run` ends with another code. */
async function otherwise(expected: string, run: (name: string) => unknown): Promise<string[]> {
  const found: string[] = [];
  for (const name of HOSTILE_NAMES) {
    const code = await codeOf(() => run(name));
    if (code !== expected) found.push(`${JSON.stringify(name.slice(0, 60))}: ${code}`);
  }
  return found;
}

/** A folder that gives whatever it is asked for but has a check of its own: it must not come to that. */
function watched(files: Readonly<Record<string, Uint8Array>>): { folder: ModelFolder; asked: string[] } {
  const asked: string[] = [];
  const plain = memoryFolder('m', files);
  return {
    asked,
    folder: {
      name: 'm',
      list: async () => Object.keys(files).sort(),
      open(path) {
        asked.push(path);
        return plain.open(path);
      },
    },
  };
}

test(`${HOSTILE_NAMES.length} hostile names, 500 at least`, () => {
  expect(HOSTILE_NAMES.length).toBeGreaterThanOrEqual(500);
});

test('none is a file name, a path in a repository, or the file of a hub id', async () => {
  expect(await otherwise('FILE_NAME', (name) => checkFileName(name, 'test'))).toEqual([]);
  expect(await otherwise('FILE_NAME', (name) => checkHubPath(name, 'test'))).toEqual([]);
  expect(await otherwise('FILE_NAME', (name) => checkHubPath(`sub/${name}`, 'test'))).toEqual([]);
  expect(await otherwise('FILE_NAME', (name) => parseHubId(`org/name:${name}`))).toEqual([]);
});

test('none is opened, in memory or behind an address', async () => {
  const folder = memoryFolder('m', {});
  expect(await otherwise('FILE_NAME', (name) => folder.open(name))).toEqual([]);
  const address = openUrl('http://127.0.0.1:1/models/mine/');
  expect(await otherwise('FILE_NAME', (name) => address.open(name))).toEqual([]);
});

test.each(['model.safetensors.index.json', 'pytorch_model.bin.index.json'])(
  'none is read because %s names it',
  async (index) => {
    const encoder = new TextEncoder();
    const asked = new Set<string>();
    const failed = await otherwise('FILE_NAME', async (name) => {
      // JSON keeps lone surrogates as escapes.
      const map = JSON.stringify({ weight_map: { plain: 'a.safetensors', w: name } });
      const watch = watched({ 'config.json': encoder.encode('{}'), [index]: encoder.encode(map) });
      try {
        await openModel(watch.folder);
      } finally {
        for (const path of watch.asked) asked.add(path);
      }
    });
    expect(failed).toEqual([]);
    // What is read is what the reader itself looks for.
    const plain = ['config.json', 'model.safetensors', 'model.safetensors.index.json'];
    const pytorch = ['pytorch_model.bin', 'pytorch_model.bin.index.json'];
    expect([...asked].sort()).toEqual(index.startsWith('p') ? [...plain, ...pytorch].sort() : plain);
  },
);

test('none leads to the parts of a split GGUF file', async () => {
  const watch = watched({});
  for (const end of ['/m-00001-of-00002.gguf', '.gguf', '-00001-of-00002.gguf']) {
    const failed = await otherwise('FILE_NAME', (name) => openModel(watch.folder, undefined, name + end));
    // With an end that makes it plain ("x." + ".gguf") it may only be missing.
    expect(failed.filter((line) => !/: (?:FILE_MISSING|GGUF_SPLIT)$/.test(line))).toEqual([]);
  }
  for (const path of watch.asked) expect(path).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._ -]*$/);
});

test('none is chosen from what a hub lists', () => {
  const safe = (path: string): { path: string; size: number } => ({ path, size: 10 });
  for (const name of HOSTILE_NAMES) {
    for (const listed of [
      [`${name}/model-Q8_0.gguf`],
      [`${name}/config.json`, `${name}/model.safetensors`],
      ['config.json', 'model.safetensors', name, `${name}/tokenizer.json`],
    ]) {
      let chosen: readonly { readonly path: string }[] = [];
      try {
        chosen = chooseFiles(listed.map(safe), 'org/name').files;
      } catch (error) {
        if (!isMambaError(error)) throw error;
        expect(['FILE_NAME', 'HUB_FILE']).toContain(error.code);
      }
      for (const { path } of chosen) expect(['config.json', 'model.safetensors']).toContain(path);
    }
  }
});

test('in an archive they are names and no more: what is read lies in the archive', async () => {
  const data = new Uint8Array(8).fill(7);
  let accepted = 0;
  for (const name of HOSTILE_NAMES) {
    const storage = { type: 'FloatStorage', key: name, numel: 2, data };
    const view = { name, storage, shape: [int(2)], stride: [int(1)], offset: int(0) };
    const bytes = zip(archiveFiles(stateOps([view], false), [storage]));
    try {
      const { tensors } = await openPytorch(memorySource('f.pt', bytes));
      for (const { storage: place } of tensors.values()) expect(bytes.slice(place.begin, place.end)).toEqual(data);
      accepted++;
    } catch (error) {
      if (!isMambaError(error)) throw error;
      expect(error.code).toMatch(/^PYTORCH_(?:TENSOR|ZIP|FORMAT)$/);
    }
  }
  expect(accepted).toBeGreaterThan(400);
  // Two files of the archive that would be one on a disk.
  const twice = zip([...archiveFiles([], []), { name: 'archive/Version', data }]);
  expect(await codeOf(() => openPytorch(memorySource('f.pt', twice)))).toBe('PYTORCH_ZIP');
});

test('the plain names that models have are taken', async () => {
  for (const name of [
    'model-00001-of-00002.safetensors',
    'm.Q4_K_M.gguf',
    'a b (1).gguf',
    'tokenizer.json',
    'v1.0+x@y',
  ])
    expect(checkFileName(name, 'test')).toBe(name);
  const bytes = await loadFixture('gguf/mamba-plain.gguf');
  expect((await openModel(memoryFolder('m', { 'a b (1).gguf': bytes }))).weights.entries.size).toBeGreaterThan(10);
});
