import { describe, expect, test } from 'vitest';
import { chooseFiles, hubIdText, isHubId, parseHubId } from '../src/index.ts';
import { codeOf } from './helpers.ts';

describe('hub ids', () => {
  test.each([
    ['org/name', { repo: 'org/name', revision: 'main' }],
    ['state-spaces/mamba-130m-hf@v1.0', { repo: 'state-spaces/mamba-130m-hf', revision: 'v1.0' }],
    ['o/n@refs/pr/1', { repo: 'o/n', revision: 'refs/pr/1' }],
    ['o/n:a.gguf', { repo: 'o/n', revision: 'main', file: 'a.gguf' }],
    ['o/n@dev:sub/a@b.gguf', { repo: 'o/n', revision: 'dev', file: 'sub/a@b.gguf' }],
  ])('%s', (text, id) => {
    expect(parseHubId(text)).toEqual(id);
    expect(hubIdText(parseHubId(text))).toBe(text);
  });

  test.each([
    '',
    'name',
    'a/b/c',
    '/a',
    'a/',
    './a',
    '../a',
    'a/..',
    'a--b/c',
    'a/b..c',
    'a\\b/c',
    'http://h/a',
    'a/b@',
    'a/b@../x',
    'a/b@x/../y',
    'a/b@/x',
    'a/b@x y',
    'a/b\0',
    'a /b',
    `a/${'b'.repeat(97)}`,
  ])('%j is none', async (text) => {
    expect(await codeOf(() => parseHubId(text))).toBe('HUB_ID');
  });

  test.each([
    '..',
    '../x',
    '/x',
    'a/../b',
    'a//b',
    'C:x',
    'a\\b',
    '',
    '.git/config',
    'a/b/c/d/e/f/g/h/i',
    'x'.repeat(600),
  ])('a file %j is refused', async (file) => {
    expect(await codeOf(() => parseHubId(`o/n:${file}`))).toBe('FILE_NAME');
  });

  test('paths and addresses are none', () => {
    for (const text of ['./org/name', '/org/name', 'C:\\a/b', 'http://a/b', 'models', 'a/b/c'])
      expect(isHubId(text)).toBe(false);
  });
});

describe('the files that are chosen', () => {
  const files = (sizes: Record<string, number>) => Object.entries(sizes).map(([path, size]) => ({ path, size }));
  const chosen = (sizes: Record<string, number>, wanted = {}): string[] =>
    chooseFiles(files(sizes), 'o/n', wanted).files.map(({ path }) => path);
  const beside = { 'config.json': 9, 'tokenizer.json': 9, 'README.md': 9, '.gitattributes': 9 };
  const ggufs = { 'm-F16.gguf': 160, 'm-Q8_0.gguf': 80, 'm-Q4_K_M.gguf': 45, 'm-Q4_K_S.gguf': 42, 'm-Q2_K.gguf': 20 };

  test('safetensors before .bin before GGUF', () => {
    const plain = { 'model.safetensors': 400, 'pytorch_model.bin': 200, ...beside };
    expect(chosen({ ...plain, ...ggufs })).toEqual(['model.safetensors', 'config.json', 'tokenizer.json']);
    expect(chosen({ 'pytorch_model.bin': 200, ...beside, ...ggufs })[0]).toBe('pytorch_model.bin');
    expect(chosen(ggufs)).toEqual(['m-F16.gguf']);
    expect(chosen({ ...ggufs, 'm-F16.gguf': 160, 'm-F32.gguf': 320 })).toEqual(['m-F16.gguf']);
    expect(chosen({ 'm-Q8_0.gguf': 80, 'm-Q4_0.gguf': 40 })).toEqual(['m-Q8_0.gguf']);
  });

  test('with a dtype, the fewest bytes of at least its precision, its own type first', () => {
    const all = { 'model.safetensors': 400, ...beside, ...ggufs };
    expect(chosen(all, { dtype: 'q4_k' })).toEqual(['m-Q4_K_S.gguf']);
    expect(chosen(all, { dtype: 'q4_k_m' })).toEqual(['m-Q4_K_M.gguf']);
    expect(chosen(all, { dtype: 'q6_k' })).toEqual(['m-Q8_0.gguf']);
    expect(chosen(all, { dtype: 'f16' })).toEqual(['m-F16.gguf']);
    expect(chosen({ 'model.safetensors': 100, ...beside }, { dtype: 'q4_k' })[0]).toBe('model.safetensors');
  });

  test('shards with their index, and only all of them', () => {
    const shards = { 'model-00001-of-00002.safetensors': 5, 'model-00002-of-00002.safetensors': 5 };
    const index = { 'model.safetensors.index.json': 1 };
    expect(chosen({ ...beside, ...index, ...shards })).toEqual([
      ...Object.keys(index),
      ...Object.keys(shards),
      'config.json',
      'tokenizer.json',
    ]);
    expect(() => chosen({ ...beside, ...index, 'model-00001-of-00002.safetensors': 5 })).toThrow(
      /not all of their parts/,
    );
    expect(() => chosen({ 'm-00001-of-00002.gguf': 5 })).toThrow(/not all of their parts/);
  });

  test('a named file, with its other parts or with what belongs to it', () => {
    const split = { 'q/m-00002-of-00002.gguf': 5, 'q/m-00001-of-00002.gguf': 5 };
    expect(chooseFiles(files({ ...ggufs, ...split }), 'o/n', { file: 'q/m-00002-of-00002.gguf' })).toMatchObject({
      files: [{ path: 'q/m-00001-of-00002.gguf' }, { path: 'q/m-00002-of-00002.gguf' }],
      gguf: 'q/m-00001-of-00002.gguf',
      folder: 'q',
    });
    expect(chosen(ggufs, { file: 'm-Q2_K.gguf' })).toEqual(['m-Q2_K.gguf']);
    expect(() => chosen(ggufs, { file: 'x.gguf' })).toThrow(/has no file x.gguf/);
  });

  test('a hostile name is refused, not skipped; projectors are no models', async () => {
    expect(await codeOf(() => chosen({ '../../m-F16.gguf': 1 }))).toBe('FILE_NAME');
    expect(chosen({ 'mmproj-F16.gguf': 1, 'm.imatrix.gguf': 1, 'm.gguf': 9 })).toEqual(['m.gguf']);
    expect(await codeOf(() => chosen({ 'README.md': 1 }))).toBe('HUB_FILE');
    expect(await codeOf(() => chosen(ggufs, { dtype: 'huge' }))).toBe('INVALID_OPTION');
  });
});
