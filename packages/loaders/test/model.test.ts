import { MambaError } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import {
  checkFileName,
  type ModelFolder,
  memoryFolder,
  memorySource,
  openFiles,
  openModel,
  openSafetensors,
  openUrl,
} from '../src/index.ts';
import { codeOf, errorOf, file, join, messageOf, pattern, raw } from './helpers.ts';
import { mockServer } from './server.ts';

const text = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const one = (name: string, n = 1) => file([{ name, dtype: 'f32', shape: [2], data: pattern(8, n) }]);

async function singleFile(): Promise<Record<string, Uint8Array>> {
  return {
    'config.json': text({ model_type: 'mamba' }),
    'generation_config.json': text({ eos_token_id: 0 }),
    'model.safetensors': await one('w'),
    'tokenizer.json': text('{"model":{}}'),
    'README.md': text('unused'),
  };
}

async function sharded(): Promise<Record<string, Uint8Array>> {
  return {
    'config.json': text({ model_type: 'mamba' }),
    'model-00001-of-00002.safetensors': await one('a', 1),
    'model-00002-of-00002.safetensors': await file([
      { name: 'b', dtype: 'f32', shape: [2], data: pattern(8, 2) },
      { name: 'unlisted', dtype: 'f32', shape: [2], data: pattern(8, 3) },
    ]),
    'model.safetensors.index.json': text({
      metadata: { total_size: 16 },
      weight_map: { b: 'model-00002-of-00002.safetensors', a: 'model-00001-of-00002.safetensors' },
    }),
  };
}

const asFiles = (files: Record<string, Uint8Array>, folder?: string): File[] =>
  Object.entries(files).map(([name, data]) => {
    const made = new File([data as BlobPart], name);
    if (folder) Object.defineProperty(made, 'webkitRelativePath', { value: `${folder}/${name}` });
    return made;
  });

describe.each<[string, (files: Record<string, Uint8Array>) => ModelFolder]>([
  ['memory', (files) => memoryFolder('mine', files)],
  ['chosen files', (files) => openFiles(asFiles(files), 'mine')],
  ['a chosen directory', (files) => openFiles(asFiles(files, 'mine'))],
  [
    'a URL',
    (files) => {
      const entries = Object.entries(files).map(([name, data]) => [`/models/mine/${name}`, data]);
      return openUrl('https://host.example/models/mine', { fetch: mockServer(Object.fromEntries(entries)).fetch });
    },
  ],
])('a model from %s', (_, folder) => {
  test('of one file', async () => {
    const opened = await openModel(folder(await singleFile()));
    expect(opened.name).toBe('mine');
    expect(opened.config).toEqual({ model_type: 'mamba' });
    expect(opened.generationConfig).toEqual({ eos_token_id: 0 });
    expect(new TextDecoder().decode(opened.tokenizerJson)).toBe('{"model":{}}');
    expect(opened.files.map(({ name }) => name)).toEqual([
      'config.json',
      'model.safetensors',
      'generation_config.json',
      'tokenizer.json',
    ]);
    expect(opened.files[0]!.size).toBe(22);
    expect(await join(opened.weights.read('w'))).toEqual(pattern(8, 1));
  });

  test('of two shards, without the optional files', async () => {
    const opened = await openModel(folder(await sharded()));
    expect([...opened.weights.entries.keys()]).toEqual(['a', 'b', 'unlisted']);
    expect(await join(opened.weights.read('a'))).toEqual(pattern(8, 1));
    expect(await join(opened.weights.read('b'))).toEqual(pattern(8, 2));
    expect('generationConfig' in opened || 'tokenizerJson' in opened).toBe(false);
    expect(opened.files.map(({ name }) => name)).toEqual([
      'config.json',
      'model.safetensors.index.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ]);
  });

  test('without config.json or weights', async () => {
    const { 'config.json': _config, ...noConfig } = await singleFile();
    expect(await codeOf(() => openModel(folder(noConfig)))).toBe('MODEL_FILE');
    expect(await codeOf(() => openModel(folder({ 'config.json': text('{}') })))).toBe('MODEL_FILE');
  });

  test('missing and hostile names', async () => {
    const opened = folder(await singleFile());
    expect(await codeOf(() => opened.open('absent.json'))).toBe('FILE_MISSING');
    expect(await codeOf(() => opened.open('../config.json'))).toBe('FILE_NAME');
  });
});

test('what transformers wrote in two shards is read', async () => {
  const names = [
    'config.json',
    'model.safetensors.index.json',
    'model-00001-of-00002.safetensors',
    'model-00002-of-00002.safetensors',
  ];
  const files: Record<string, Uint8Array> = {};
  for (const name of names) files[name] = await loadFixture(`mamba/bf16-shards/${name}`);
  const { weights, config } = await openModel(memoryFolder('bf16-shards', files));
  expect((config as { model_type: string }).model_type).toBe('mamba');
  expect(new Set([...weights.entries.values()].map(({ dtype }) => dtype))).toContain('bf16');
  for (const { name, byteLength } of weights.entries.values()) {
    expect((await join(weights.read(name))).length).toBe(byteLength);
  }
});

describe('config.json', () => {
  const open = async (config: Uint8Array | string) =>
    (
      await openModel(
        memoryFolder('m', {
          ...(await singleFile()),
          'config.json': typeof config === 'string' ? text(config) : config,
        }),
      )
    ).config;

  test('infinities, as Python and as transformers 5 write them', async () => {
    expect(
      await open('{"time_step_limit": [0.0, Infinity], "low": -Infinity, "text": "Infinity \\" Infinity"}'),
    ).toEqual({
      time_step_limit: [0, Number.POSITIVE_INFINITY],
      low: Number.NEGATIVE_INFINITY,
      text: 'Infinity " Infinity',
    });
    expect(
      await open('{"a": {"__float__": "Infinity"}, "b": {"__float__": "-Infinity"}, "c": {"__float__": "NaN"}}'),
    ).toEqual({
      a: Number.POSITIVE_INFINITY,
      b: Number.NEGATIVE_INFINITY,
      c: Number.NaN,
    });
    expect(await open('{"a": {"__float__": "1"}, "b": {"__float__": "NaN", "x": 1}}')).toEqual({
      a: { __float__: '1' },
      b: { __float__: 'NaN', x: 1 },
    });
  });

  test.each<[code: string, what: string, config: Uint8Array | string]>([
    ['CONFIG_JSON', 'cut off', '{'],
    ['CONFIG_JSON', 'empty', ''],
    ['CONFIG_JSON', 'a list', '[1]'],
    ['CONFIG_JSON', 'null', 'null'],
    ['CONFIG_JSON', 'an unfinished string', '"Infinity'],
    ['CONFIG_JSON', 'a word', '{"a": xInfinity}'],
    ['CONFIG_JSON', 'a digit after it', '{"a": Infinity0}'],
    ['CONFIG_JSON', 'a digit before it', '{"a": 1Infinity}'],
    ['CONFIG_JSON', 'a difference', '{"a": 1-Infinity}'],
    ['CONFIG_JSON', 'a fraction of it', '{"a": 1.Infinity}'],
    ['CONFIG_JSON', 'half a million open brackets', `${'['.repeat(500_000)}`],
    ['CONFIG_JSON', 'no UTF-8', Uint8Array.of(0x7b, 0xff, 0x7d)],
    ['CONFIG_JSON', 'no UTF-8 inside a text', Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)],
    ['CONFIG_SIZE', 'over 1 MiB', `{"a":"${'x'.repeat(1 << 20)}"}`],
  ])('%s: %s', async (code, _, config) => {
    expect(await codeOf(() => open(config))).toBe(code);
  });

  test('of exactly 1 MiB', async () => {
    expect(await open('{}'.padEnd(1 << 20))).toEqual({});
  });

  test('a quarter of a million escaped quotes cost no time', async () => {
    const started = performance.now();
    expect(await codeOf(() => open(`{"Infinity":"${'\\"'.repeat(250_000)}`))).toBe('CONFIG_JSON');
    expect(performance.now() - started).toBeLessThan(500);
  });
});

test('generation_config.json and tokenizer.json have codes of their own', async () => {
  const files = await singleFile();
  const code = (more: Record<string, Uint8Array | Blob>) =>
    codeOf(() => openModel(memoryFolder('m', { ...files, ...more })));
  expect(await code({ 'generation_config.json': text('{') })).toBe('GENERATION_CONFIG_JSON');
  expect(await code({ 'generation_config.json': new Uint8Array((1 << 20) + 1) })).toBe('GENERATION_CONFIG_SIZE');
  expect(await code({ 'tokenizer.json': new Uint8Array((64 << 20) + 1) })).toBe('TOKENIZER_SIZE');
});

describe('an index', () => {
  const open = async (index: unknown, more: Record<string, Uint8Array> = {}) =>
    openModel(memoryFolder('m', { ...(await sharded()), 'model.safetensors.index.json': text(index), ...more }));
  const map = (weight_map: unknown) => ({ weight_map });

  test.each<[string, string, unknown]>([
    ['INDEX_JSON', 'not JSON', '{'],
    ['INDEX_JSON', 'a list', '[]'],
    ['INDEX_WEIGHT_MAP', 'without a map', {}],
    ['INDEX_WEIGHT_MAP', 'with a list as map', map([])],
    ['INDEX_WEIGHT_MAP', 'with null as map', map(null)],
    ['INDEX_WEIGHT_MAP', 'with an empty map', map({})],
    [
      'INDEX_FILE',
      'with 1024 files, which are not there',
      map(Object.fromEntries(Array.from({ length: 1024 }, (_, i) => [`t${i}`, `f${i}`]))),
    ],
    ...['az', 'za'].map((tensors): [string, string, unknown] => [
      'INDEX_TENSOR',
      `naming two tensors in one file, one of which is not there: ${tensors}`,
      map(Object.fromEntries([...tensors].map((name) => [name, 'model-00001-of-00002.safetensors']))),
    ]),
    ['INDEX_WEIGHT_MAP', 'with a number as file', map({ a: 1 })],
    [
      'INDEX_WEIGHT_MAP',
      'with 1025 files',
      map(Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`t${i}`, `f${i}`]))),
    ],
    ['INDEX_FILE', 'naming a file that is not there', map({ a: 'model-00003-of-00003.safetensors' })],
    ['INDEX_TENSOR', 'naming a tensor that is not there', map({ z: 'model-00001-of-00002.safetensors' })],
    ['INDEX_TENSOR', 'naming a tensor of another shard', map({ b: 'model-00001-of-00002.safetensors' })],
    ['FILE_NAME', 'naming a path', map({ a: '../model.safetensors' })],
    ['FILE_NAME', 'naming no file', map({ a: '' })],
    ['SAFETENSORS_HEADER_LENGTH', 'naming a file of another format', map({ a: 'config.json' })],
  ])('%s: %s', async (code, _, index) => {
    expect(await codeOf(() => open(index))).toBe(code);
  });

  test('over 16 MiB', async () => {
    const more = { 'model.safetensors.index.json': new Uint8Array((16 << 20) + 1) };
    expect(await codeOf(() => open({}, more))).toBe('INDEX_SIZE');
  });

  test('whose shards share a name, listed or not', async () => {
    const more = {
      'model-00001-of-00002.safetensors': await file([
        { name: 'a', dtype: 'f32', shape: [2], data: pattern(8, 1) },
        { name: 'unlisted', dtype: 'f32', shape: [2], data: pattern(8, 3) },
      ]),
    };
    const index = map({ a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' });
    expect(await codeOf(() => open(index, more))).toBe('INDEX_DUPLICATE');
  });

  test('the message names the missing file, what the folder holds and the remedy', async () => {
    const message = await messageOf(() => open(map({ a: 'model-00003-of-00003.safetensors' })));
    expect(message).toBe(
      'model.safetensors.index.json needs 1 file, and m has no file model-00003-of-00003.safetensors; it holds config.json, ' +
        'model-00001-of-00002.safetensors, model-00002-of-00002.safetensors, model.safetensors.index.json. Put it beside the index.',
    );
  });
});

test('missing weights: the message says what was found and what to do', async () => {
  const at = (files: Record<string, Uint8Array>) =>
    messageOf(() => openModel(memoryFolder('m', { 'config.json': text('{}'), ...files })));
  expect(await at({ 'weights.bin': new Uint8Array(1) })).toContain('convert it to safetensors');
  expect(await at({ 'other.safetensors': await one('w') })).toContain('rename it to model.safetensors');
  const adapter = { 'adapter_config.json': text('{}'), 'adapter_model.safetensors': await one('w') };
  expect(await at(adapter)).toContain('It is a LoRA adapter: open the model that it was trained on');
  expect(await at({})).toContain('it holds config.json');
  expect(await messageOf(() => openModel(memoryFolder('m', {})))).toContain('it holds no files');
});

test('a single file has no config.json', async () => {
  const source = memorySource('model.safetensors', await one('w'));
  expect(await codeOf(() => openModel(source))).toBe('MODEL_FILE');
  expect((await openSafetensors(source)).tensors.size).toBe(1);
});

describe('what a folder throws while a model is opened', () => {
  /** A folder of which one file fails to open or to be read. */
  const broken = async (path: string, on: 'open' | 'read', error: Error): Promise<ModelFolder> => {
    const folder = memoryFolder('m', path.startsWith('model-') ? await sharded() : await singleFile());
    return {
      ...folder,
      async open(name) {
        const source = await folder.open(name);
        if (name !== path) return source;
        if (on === 'open') throw error;
        return { ...source, read: () => Promise.reject(error) };
      },
    };
  };

  test.each([
    'config.json',
    'model.safetensors',
    'generation_config.json',
    'tokenizer.json',
    'model-00002-of-00002.safetensors',
  ])('comes through as it is: %s', async (path) => {
    const error = new MambaError('FILE_READ', 'the disk fails');
    await expect(broken(path, 'open', error).then((folder) => openModel(folder))).rejects.toBe(error);
    await expect(broken(path, 'read', error).then((folder) => openModel(folder))).rejects.toBe(error);
  });
});

test('the signal goes into the opening and each reading of every file', async () => {
  const { signal } = new AbortController();
  for (const files of [await singleFile(), await sharded()]) {
    const folder = memoryFolder('m', files);
    const without: string[] = [];
    const recording: ModelFolder = {
      ...folder,
      async open(name, given) {
        if (given !== signal) without.push(`open ${name}`);
        const source = await folder.open(name);
        return {
          ...source,
          read: (offset, length, options) => {
            if (options?.signal !== signal) without.push(`read ${name}`);
            return source.read(offset, length, options);
          },
        };
      },
    };
    await openModel(recording, signal);
    expect(without).toEqual([]);
  }
});

test('what an error of ours was made from stays its cause', async () => {
  const files = await singleFile();
  const causeOf = async (more: Record<string, Uint8Array>) =>
    (await errorOf(() => openModel(memoryFolder('m', { ...files, ...more }))))?.cause;
  expect(await causeOf({ 'config.json': text('{') })).toBeInstanceOf(SyntaxError);
  expect(await causeOf({ 'config.json': new Uint8Array((1 << 20) + 1) })).toMatchObject({ code: 'FILE_SIZE' });
  expect(await causeOf({ 'tokenizer.json': new Uint8Array((64 << 20) + 1) })).toMatchObject({ code: 'FILE_SIZE' });
  const { 'model-00001-of-00002.safetensors': _, ...halves } = await sharded();
  expect((await errorOf(() => openModel(memoryFolder('m', halves))))?.cause).toMatchObject({ code: 'FILE_MISSING' });
});

test('files that only contain the name of a format are not taken for it in messages', async () => {
  const files = { 'config.json': text('{}'), 'a.bin.txt': pattern(1), 'a.safetensors.txt': pattern(1) };
  expect(await messageOf(() => openModel(memoryFolder('m', files)))).toContain('A model folder in Hugging Face layout');
});

test('an aborted signal ends the opening', async () => {
  const folder = memoryFolder('m', await singleFile());
  await expect(openModel(folder, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
});

describe('file names', () => {
  test.each([
    'model.safetensors',
    'model-00001-of-00002.safetensors',
    'a',
    '_x',
    'Q8_0 (1).bin',
    'x..y',
    'a@b+c=d,e[1]',
    'falcon.safetensors',
    'x'.repeat(255),
  ])('plain: %s', (name) => {
    expect(checkFileName(name, 'test')).toBe(name);
  });

  const hostile = [
    '',
    '.',
    '..',
    '...',
    '/etc/passwd',
    '../x',
    'a/b',
    'a/../b',
    './x',
    'a\\b',
    '..\\x',
    '\\\\host\\x',
    'C:x',
    'c:\\x',
    'x:stream',
    '%2e%2e%2fx',
    'x%00',
    'a%2fb',
    'x\0',
    'x\0.safetensors',
    'x\n',
    '\tx',
    ' x',
    'x ',
    'x.',
    '.hidden',
    '~',
    '~root',
    '-rf',
    '$HOME',
    '`x`',
    'a|b',
    'a>b',
    'a*',
    'a?b',
    'a#b',
    'a&b',
    'a;b',
    "a'b",
    'a"b',
    'http://x',
    'https:x',
    'file:///x',
    'data:,x',
    'blob:x',
    '//x',
    'con',
    'CON.safetensors',
    'nul',
    'NUL.txt',
    'com1',
    'LPT9.x',
    'aux',
    'prn',
    '\u2024\u2024',
    '\uff0e\uff0e\uff0fx',
    'a\u2215b',
    'a\u202eb',
    '\ufeffx',
    'x\u0000y',
    'ü',
    'x'.repeat(256),
    '\ud800',
  ];
  test.each(hostile.map((name) => [JSON.stringify(name).slice(0, 60), name]))('refused: %s', async (_, name) => {
    expect(await codeOf(() => checkFileName(name, 'test'))).toBe('FILE_NAME');
  });

  test('long names are cut in messages', async () => {
    expect(await messageOf(() => checkFileName('/'.repeat(500), 'test'))).toContain(` file "${'/'.repeat(119)}, which`);
  });

  test('anything but a text is refused', async () => {
    for (const value of [null, undefined, 1, {}, ['a']]) {
      expect(await codeOf(() => checkFileName(value as unknown as string, 'test'))).toBe('FILE_NAME');
    }
  });
});

describe('folders', () => {
  test('files in directories below the chosen one are left out, and counted in messages', async () => {
    const files = asFiles(await singleFile(), 'models/mine');
    const folder = openFiles(files);
    expect(await folder.list!()).toEqual([]);
    expect(await messageOf(() => folder.open('config.json'))).toContain('5 files in folders below it');
  });

  test('two files of one name are refused', async () => {
    const files = asFiles(await singleFile());
    expect(await codeOf(() => openFiles([...files, ...files]))).toBe('FILE_DUPLICATE');
  });

  test('lists are sorted', async () => {
    const files = await singleFile();
    for (const folder of [memoryFolder('m', files), openFiles(asFiles(files).reverse())]) {
      expect(await folder.list!()).toEqual(Object.keys(files).sort());
    }
  });

  test('a URL keeps its query and loses its fragment', async () => {
    const mock = mockServer({ '/m/config.json': text('{}') });
    const folder = openUrl('https://host.example/m/?token=1#x', { fetch: mock.fetch });
    expect(folder.name).toBe('m');
    expect((await folder.open('config.json')).size).toBe(2);
    expect(mock.log).toEqual(['/m/config.json?token=1 bytes=0-0']);
    expect(openUrl('https://host.example').name).toBe('host.example');
  });

  test.each(['models/mine', '/models', 'file:///models', 'javascript:x', ''])('not an address: %s', async (address) => {
    expect(await codeOf(() => openUrl(address))).toBe('URL_ADDRESS');
  });

  test('a damaged file is told by its own code', async () => {
    const folder = memoryFolder('m', { ...(await singleFile()), 'model.safetensors': raw('{}', 1) });
    expect(await codeOf(() => openModel(folder))).toBe('SAFETENSORS_TRAILING');
  });
});
