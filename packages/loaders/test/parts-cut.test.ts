import { isMambaError } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { Random } from '../../../fuzz/random.ts';
import { memoryFolder, openModel } from '../src/index.ts';

const numbered = (stem: string, end: string): string[] => [1, 2].map((n) => `${stem}-0000${n}-of-00002${end}`);
const SHARDED: readonly (readonly [string, readonly string[], RegExp])[] = [
  [
    'mamba/bf16-shards',
    ['config.json', 'model.safetensors.index.json', ...numbered('model', '.safetensors')],
    /^(?:SAFETENSORS_\w+|INDEX_\w+|CONFIG_JSON)$/,
  ],
  [
    'pytorch/shards',
    ['config.json', 'pytorch_model.bin.index.json', ...numbered('pytorch_model', '.bin')],
    /^(?:PYTORCH_\w+|INDEX_\w+|CONFIG_JSON)$/,
  ],
  ['gguf', numbered('mamba-bf16', '.gguf'), /^GGUF_\w+$/],
];

test.each(SHARDED)(
  '%s: with any one of its files cut short, or gone, the model is refused',
  async (folder, names, codes) => {
    const files = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await loadFixture(`${folder}/${name}`)] as const)),
    );
    await openModel(memoryFolder('m', files));
    for (const [at, name] of names.entries()) {
      const whole = files[name]!;
      // Neither the last line break of a text nor the padding behind the last tensor is declared.
      const slack = /\.json$/.test(name) ? 1 : /\.gguf$/.test(name) ? 32 : 0;
      const random = new Random(2026, at);
      const lengths = [
        0,
        1,
        whole.length - slack - 1,
        ...Array.from({ length: 300 }, () => random.below(whole.length - slack)),
      ];
      for (const length of lengths) {
        const cut = { ...files, [name]: whole.subarray(0, length) };
        const outcome = await openModel(memoryFolder('m', cut)).then(
          () => 'accepted',
          (error: unknown) => (isMambaError(error) ? error.code : String(error)),
        );
        if (!codes.test(outcome)) expect([name, length, outcome]).toEqual([name, length, 'refused']);
      }
      const { [name]: _, ...rest } = files;
      await expect(openModel(memoryFolder('m', rest))).rejects.toThrow(/was expected|has no file|needs|part/);
    }
  },
);
