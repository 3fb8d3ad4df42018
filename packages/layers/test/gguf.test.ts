import { findArchitecture, listParameters } from '@mamba-ts/layers';
import { memoryFolder, openModel } from '@mamba-ts/loaders';
import { decodeToF32, type WeightSource } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { maxDifference, openFixture, spread } from './checkpoint.ts';

const REMAKE = 'fixtures are made by: .venv/bin/python fixtures/gguf_files.py';

const MODELS = [
  ['mamba-plain.gguf', 'mamba/plain'],
  ['mamba-falcon.gguf', 'mamba/falcon'],
  ['mamba-bf16-00001-of-00002.gguf', 'mamba/bf16-shards'],
  ['mamba2-group-per-head.gguf', 'mamba2/group-per-head'],
  ['gptneox-plain.gguf', 'gpt_neox/plain'],
  ['llama-plain.gguf', 'llama/plain'],
  ['llama-one-key.gguf', 'llama/one-key'],
  ['llama-grouped.gguf', 'llama/grouped'],
] as const;

async function openGguf(file: string) {
  const parts = file.includes('-of-') ? [1, 2].map((n) => file.replace('-00001-', `-0000${n}-`)) : [file];
  const files = await Promise.all(parts.map(async (name) => [name, await loadFixture(`gguf/${name}`)] as const));
  const { config, weights } = await openModel(memoryFolder('gguf', Object.fromEntries(files)));
  return { config: config as Record<string, unknown>, weights };
}

async function valuesOf(source: WeightSource, name: string): Promise<Float32Array> {
  const pieces: number[] = [];
  for await (const piece of source.read(name)) {
    pieces.push(...decodeToF32(piece.slice(), source.entries.get(name)!.dtype));
  }
  return Float32Array.from(pieces);
}

describe.each(MODELS)('%s', (file, original) => {
  test('every parameter has the values of the safetensors file, A within an ulp', async () => {
    const gguf = await openGguf(file);
    const safetensors = await openFixture(original);
    const architecture = await findArchitecture(gguf.config);
    const { parameters } = architecture.createModel(architecture.parseConfig(gguf.config));
    const specs = listParameters(parameters);
    expect(gguf.weights.entries.size, REMAKE).toBe(specs.length);
    for (const { name, map = (value: number) => value } of specs) {
      const found = await valuesOf(gguf.weights, name);
      const expected = await valuesOf(safetensors.weights, name);
      if (!gguf.weights.entries.get(name)!.asUsed) expect(found, name).toEqual(expected);
      else
        expect(maxDifference(found, expected.map(map).map(Math.fround))).toBeLessThanOrEqual(2 ** -23 * spread(found));
    }
  });
});
