import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type GgufFile, openGguf } from '@mamba-ts/loaders';
import { openFile } from '@mamba-ts/loaders/node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { interrupted, json, mamba } from './mamba.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/${name}`, import.meta.url));
const shared = fileURLToPath(new URL('../../../../shared/models/shakespeare-mamba', import.meta.url));
const theirs = (type: string): string => join(shared, `gguf/shakespeare-mamba-${type}.gguf`);
const here = existsSync(theirs('F16'));
if (!here) console.warn('SKIPPED: ../shared is missing, converted files are not compared with those of llama.cpp');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-convert-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('a folder to GGUF and back: what was written runs, and says what it is', async () => {
  const gguf = join(folder, 'falcon.gguf');
  const written = await json(['convert', fixture('mamba/falcon'), gguf, '--dtype', 'f16']);
  expect(written).toMatchObject({
    model: 'falcon',
    to: 'gguf',
    dtype: 'f16',
    out: gguf,
    files: [{ name: gguf }],
    lost: [],
  });
  expect(await json(['show', gguf])).toMatchObject({ architecture: 'falcon_mamba', vocab_size: 97 });
  const back = join(folder, 'back');
  await mkdir(back);
  const { files, tensors } = await json(['convert', gguf, back, '--to', 'safetensors']);
  expect((files as { name: string }[]).map(({ name }) => name)).toEqual(['config.json', 'model.safetensors']);
  expect(tensors).toEqual(written.tensors);
  expect(await json(['show', back])).toMatchObject({ architecture: 'falcon_mamba' });
});

test('nothing is overwritten that is not whole, nothing half-written stays', async () => {
  const place = join(folder, 'kept');
  await mkdir(place);
  await writeFile(join(place, 'mine.txt'), 'mine');
  const refused = async (args: readonly string[], code: number, text: string) => {
    const found = await mamba(args);
    expect([found.code, found.stdout]).toEqual([code, '']);
    expect(found.stderr).toContain(text);
  };
  await refused(['convert', fixture('mamba/plain'), place], 1, 'no empty folder');
  await refused(['convert', fixture('mamba/plain'), place, '--to', 'gguf'], 1, 'is a folder');
  await refused(['convert', fixture('mamba/plain'), join(folder, 'no/such/place.gguf')], 1, 'does not exist');
  await refused(['convert', fixture('mamba/plain'), join(folder, 'x'), '--dtype', 'q4_k'], 1, 'Convert to gguf');
  await refused(['quantize', fixture('mamba/plain'), join(folder, 'x.gguf'), '--dtype', 'q2_k'], 2, 'Allowed choices');
  expect(await readdir(place)).toEqual(['mine.txt']);
  expect((await readdir(folder)).filter((name) => name.includes('tmp') || name.startsWith('x'))).toEqual([]);
});

describe('the trained checkpoint of shared/', () => {
  const tensorsOf = async (path: string): Promise<{ file: GgufFile; data: Map<string, string> }> => {
    const file = await openGguf(await openFile(path));
    const bytes = await readFile(path);
    const data = new Map<string, string>();
    for (const { name, type, shape, begin, end } of file.tensors) {
      const content = bytes.subarray(file.dataStart + begin, file.dataStart + end).toString('base64');
      data.set(name, `${type.name} [${shape}] ${content}`);
    }
    return { file, data };
  };

  test.skipIf(!here).each([
    ['f16', 'F16'],
    ['q8_0', 'Q8_0'],
    ['q4_0', 'Q4_0'],
    ['q4_k', 'Q4_K_M'],
  ])(
    'mamba quantize --dtype %s: every tensor has the type and the bytes that llama-quantize gave it',
    async (dtype, type) => {
      const out = join(folder, `${dtype}.gguf`);
      expect(await json(['quantize', theirs('F16'), out, '--dtype', dtype])).toMatchObject({ dtype });
      const [expected, found] = [await tensorsOf(theirs(type)), await tensorsOf(out)];
      expect([...found.data.keys()].sort()).toEqual([...expected.data.keys()].sort());
      for (const [name, content] of expected.data) {
        expect(found.data.get(name) === content, `${name}: ${content.slice(0, 40)}`).toBe(true);
      }
      expect(found.file.metadata.get('general.file_type')).toBe(expected.file.metadata.get('general.file_type'));
    },
  );

  test.skipIf(!here)(
    'mamba convert from safetensors: the F16 file of convert_hf_to_gguf.py, its tokenizer too',
    async () => {
      const out = join(folder, 'converted.gguf');
      await json(['convert', shared, out, '--dtype', 'f16']);
      const [expected, found] = [await tensorsOf(theirs('F16')), await tensorsOf(out)];
      for (const [name, content] of expected.data) {
        if (!name.endsWith('ssm_a')) expect(found.data.get(name) === content, name).toBe(true);
      }
      // Names that stand for the same, and ids that no reader of this kind of tokenizer asks for.
      const other = ['tokenizer.ggml.pre', 'tokenizer.ggml.unknown_token_id', 'tokenizer.ggml.padding_token_id'];
      for (const [key, value] of expected.file.metadata) {
        if (!other.includes(key)) expect(found.file.metadata.get(key), key).toEqual(value);
      }
      const line = 'JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?<|endoftext|>é';
      const { ids } = await json(['tokenize', line, '--model', shared]);
      expect((await json(['tokenize', line, '--model', out])).ids).toEqual(ids);
    },
  );

  test.skipIf(!here)('GGUF to safetensors: tokenizer.json is recovered, and the text is the same', async () => {
    const out = join(folder, 'recovered');
    await json(['convert', theirs('F16'), out]);
    expect((await readdir(out)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const greedy = ['run', 'ROMEO:', '--temperature', '0', '--max-tokens', '60', '--model'];
    expect((await json([...greedy, out])).text).toBe((await json([...greedy, theirs('F16')])).text);
  });

  test.skipIf(!here)('Ctrl-C ends it at once with 130 and leaves nothing', async () => {
    const out = join(folder, 'aborted.gguf');
    const started = async () => {
      while (!(await readdir(folder)).some((name) => name.startsWith('.aborted'))) {
        await new Promise((done) => setTimeout(done, 5));
      }
    };
    const { code, ms } = await interrupted(['quantize', theirs('F16'), out, '--dtype', 'q4_k'], started);
    expect(code).toBe(130);
    expect(ms).toBeLessThan(2000);
    expect((await readdir(folder)).filter((name) => name.includes('aborted'))).toEqual([]);
  });
});
