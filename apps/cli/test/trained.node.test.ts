import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { json } from './mamba.ts';

const fixtures = fileURLToPath(new URL('../../../fixtures/', import.meta.url));
const text = join(fixtures, 'trained/text.txt');
const recipe: { options: string[]; configs: Record<string, object> } = JSON.parse(
  await readFile(join(fixtures, 'trained/recipe.json'), 'utf8'),
);

const python = process.env.PYTHON ?? 'python3';
let here = true;
try {
  execFileSync(python, ['-c', 'import torch, transformers, safetensors'], { stdio: 'ignore' });
} catch {
  here = false;
  console.warn(
    `SKIPPED: ${python} has no transformers (PYTHON names another), so trained folders are not loaded there`,
  );
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-trained-'));
});
afterAll(() => rm(folder, { recursive: true }));

const f32 = async (path: string): Promise<Float32Array> => {
  const bytes = await readFile(path);
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const { logits } = JSON.parse(bytes.subarray(8, start).toString());
  const [begin, end] = logits.data_offsets;
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + start + begin, bytes.byteOffset + start + end));
};

describe.each(Object.keys(recipe.configs))('mamba train --arch %s', (arch) => {
  const out = (): string => join(folder, arch);
  test('writes the folder of fixtures/trained: config, tokenizer, names and shapes byte for byte', async () => {
    const config = join(folder, `${arch}.json`);
    await writeFile(config, JSON.stringify(recipe.configs[arch]));
    await json(['train', '--arch', arch, '--config', config, '--data', text, '--out', out(), ...recipe.options]);
    const both = (name: string) =>
      Promise.all([out(), join(fixtures, 'trained', arch)].map((run) => readFile(join(run, name))));
    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      const [written, expected] = await both(name);
      expect(written!.toString(), `${name}; fixtures/trained/ is made by fixtures/trained.py`).toBe(
        expected!.toString(),
      );
    }
    const [written, expected] = (await both('model.safetensors')).map((bytes) =>
      bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString(),
    );
    expect(written).toBe(expected);
  });

  test.skipIf(!here)(
    'Python loads that folder as it is, and finds our logits within 2e-4 of their range',
    async () => {
      const [theirs, ours] = ['theirs', 'ours'].map((name) => join(folder, `${arch}-${name}.safetensors`));
      execFileSync(python, [join(fixtures, 'trained.py'), out(), text, theirs!], { stdio: ['ignore', 'pipe', 'pipe'] });
      await json(['score', '--model', out(), '--text', text, '--logits', ours!, '--backend', 'wasm-simd']);
      const [expected, found] = await Promise.all([f32(theirs!), f32(ours!)]);
      const range = expected!.reduce((a, b) => Math.max(a, b)) - expected!.reduce((a, b) => Math.min(a, b));
      expect(found!.length).toBeGreaterThan(expected!.length);
      const worst = expected!.reduce((most, value, i) => Math.max(most, Math.abs(value - found![i]!)), 0);
      expect(worst / range).toBeLessThanOrEqual(2e-4);
    },
    300_000,
  );
});
