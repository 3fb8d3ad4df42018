import { readdir, readFile } from 'node:fs/promises';
import { modelUrl as mambaUrl } from '@mamba-ts/model-shakespeare';
import { expect, test } from 'vitest';
import { files, modelUrl } from '../index.js';

const read = (name: string, url = modelUrl): Promise<Buffer> => readFile(new URL(name, url));

test('lists exactly the files of its folder, at most 7 MB in all', async () => {
  expect([...files].sort()).toEqual((await readdir(modelUrl)).sort());
  const sizes = await Promise.all(files.map(async (name) => (await read(name)).length));
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(7_000_000);
});

test('reads the tokens of its twin, and has as many parameters within 1 %', async () => {
  expect((await read('tokenizer.json')).equals(await read('tokenizer.json', mambaUrl))).toBe(true);
  const parameters = async (url: URL): Promise<number> => {
    const bytes = await read('model.safetensors', url);
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
    return Object.entries<{ shape: number[] }>(header)
      .filter(([name]) => name !== '__metadata__')
      .reduce((sum, [, { shape }]) => sum + shape.reduce((product, size) => product * size, 1), 0);
  };
  const [own, twin] = [await parameters(modelUrl), await parameters(mambaUrl)];
  expect(own).toBe(2_885_888);
  expect(Math.abs(own / twin - 1)).toBeLessThanOrEqual(0.01);
});
