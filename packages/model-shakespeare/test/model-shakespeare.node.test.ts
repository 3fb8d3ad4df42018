import { readdir, readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { files, modelUrl } from '../index.js';

interface TensorEntry {
  dtype: string;
  shape: number[];
}

async function tensors(): Promise<[string, TensorEntry][]> {
  const bytes = await readFile(new URL('model.safetensors', modelUrl));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
  return Object.entries<TensorEntry>(header).filter(([name]) => name !== '__metadata__');
}

describe('model-shakespeare', () => {
  test('lists exactly the files of its folder', async () => {
    expect([...files].sort()).toEqual((await readdir(modelUrl)).sort());
  });

  test('weighs at most 7 MB', async () => {
    let bytes = 0;
    for (const file of files) bytes += (await readFile(new URL(file, modelUrl))).length;
    expect(bytes).toBeLessThanOrEqual(7_000_000);
  });

  test('has 2,890,496 parameters: matrices in f16, everything else in f32', async () => {
    let parameters = 0;
    for (const [name, { dtype, shape }] of await tensors()) {
      parameters += shape.reduce((product, size) => product * size, 1);
      const matrix = /(embeddings|_proj)\.weight$/.test(name);
      expect([name, dtype]).toEqual([name, matrix ? 'F16' : 'F32']);
    }
    expect(parameters).toBe(2_890_496);
  });
});
