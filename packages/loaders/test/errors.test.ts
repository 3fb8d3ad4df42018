import { expect, test } from 'vitest';
import {
  blobSource,
  checkFileName,
  memoryFolder,
  memorySource,
  type OpenedModel,
  openFiles,
  openModel,
  openSafetensors,
  openUrl,
  renameSource,
  safetensorsWeights,
  type TensorToWrite,
  type UrlOptions,
  urlSource,
} from '../src/index.ts';
import { errorOf, file, join, pattern, raw } from './helpers.ts';
import { type MockServer, mockServer } from './server.ts';

const text = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const w: TensorToWrite = { name: 'w', dtype: 'f32', shape: [2], data: pattern(8) };
const letters = (last: string): string[] => [...'abcdefghijklmnopqrstuvwxyz'].filter((letter) => letter <= last);

const model = async (files: Record<string, Uint8Array>): Promise<OpenedModel> =>
  openModel(memoryFolder('m', { 'config.json': text('{}'), 'model.safetensors': await file([w]), ...files }));
const index = async (value: unknown): Promise<OpenedModel> =>
  openModel(
    memoryFolder('m', {
      'config.json': text('{}'),
      'a.safetensors': await file([w]),
      'model.safetensors.index.json': text(value),
    }),
  );
const weights = async (tensors: readonly TensorToWrite[] = [w]) =>
  safetensorsWeights([await openSafetensors(memorySource('t', await file(tensors)))]);

// Query and user hold secrets: no message shows them.
const address = 'https://user:secret@host.example/m/w.bin?token=secret';
const server = (): MockServer => mockServer({ '/m/w.bin': { bytes: pattern(100), etag: '"1"' } });
/** Opens a file whose server answers so from the start. */
const at = (answer: () => Response, options: UrlOptions = {}): Promise<unknown> => {
  const mock = server();
  mock.alter = answer;
  return urlSource(address, { fetch: mock.fetch, ...options });
};
/** Reads bytes 10 to 18 from a file whose server answers so once it is open. */
const later = async (answer: () => Response): Promise<unknown> => {
  const mock = server();
  const source = await urlSource(address, { fetch: mock.fetch });
  mock.alter = answer;
  return source.read(10, 9);
};
const status = (code: number) => () => new Response(null, { status: code });
const part = (range: string, size = 9, more: Record<string, string> = {}): Response =>
  new Response(pattern(size), { status: 206, headers: { 'content-range': range, ...more } });

type Case = [what: string, run: () => unknown, code: string, message: string, details: object];

async function check(run: () => unknown, code: string, message: string, details: object): Promise<void> {
  const error = await errorOf(run);
  expect({ code: error?.code, message: error?.message, details: error?.details }).toEqual({ code, message, details });
}

test.each<Case>([
  [
    'a range outside',
    () => memorySource('f', pattern(9)).read(8, 2),
    'FILE_RANGE',
    'f: 2 bytes from byte 8 were asked for, but the file has 9',
    { file: 'f', offset: 8, length: 2, size: 9 },
  ],
  [
    'a small buffer',
    () => memorySource('f', pattern(9)).read(0, 9, { into: new Uint8Array(8) }),
    'FILE_RANGE',
    'f: 9 bytes were asked for, but the buffer given for them has 8',
    { file: 'f', length: 9, buffer: 8 },
  ],
  [
    'a Blob gone',
    () =>
      blobSource(
        Object.assign(new Blob([pattern(9)]), {
          slice: () => ({ arrayBuffer: () => Promise.reject(new Error('gone')) }),
        }),
        'f',
      ).read(2, 5),
    'FILE_READ',
    'f can no longer be read; it was probably changed or moved since it was chosen. Choose it again.',
    { file: 'f', offset: 2 },
  ],
  [
    'a Blob cut',
    () => blobSource(Object.assign(new Blob([pattern(9)]), { slice: () => new Blob([pattern(3)]) })).read(2, 5),
    'FILE_CHANGED',
    'blob: 5 bytes from byte 2 were asked for and 3 came: the file has become shorter. Choose it again.',
    { file: 'blob', offset: 2, expected: 5, found: 3 },
  ],
  [
    'a path',
    () => checkFileName('../x', 'index'),
    'FILE_NAME',
    'index names the file "../x", which is not a plain file name inside the model\'s folder (letters, digits and . _ - + = @ , ( ) [ ], starting with a letter, a digit or _). Paths, URLs and escapes are refused.',
    { name: '../x', from: 'index' },
  ],
  [
    'no text as name',
    () => checkFileName(undefined as never, 'index'),
    'FILE_NAME',
    "index names the file undefined, which is not a plain file name inside the model's folder (letters, digits and . _ - + = @ , ( ) [ ], starting with a letter, a digit or _). Paths, URLs and escapes are refused.",
    { name: undefined, from: 'index' },
  ],
  [
    'a missing file',
    () => memoryFolder('m', { b: pattern(1), a: pattern(1) }).open('x'),
    'FILE_MISSING',
    'm has no file x; it holds a, b',
    { folder: 'm', file: 'x', held: ['a', 'b'] },
  ],
  [
    'none at all',
    () => memoryFolder('m', {}).open('x'),
    'FILE_MISSING',
    'm has no file x; it holds no files',
    { folder: 'm', file: 'x', held: [] },
  ],
  [
    'many files',
    () => memoryFolder('m', Object.fromEntries(letters('m').map((name) => [name, pattern(1)]))).open('x'),
    'FILE_MISSING',
    'm has no file x; it holds a, b, c, d, e, f, g, h, i, j, k, l, ... (13 files)',
    {
      folder: 'm',
      file: 'x',
      held: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm'],
    },
  ],
  [
    'twelve files',
    () => memoryFolder('m', Object.fromEntries(letters('l').map((name) => [name, pattern(1)]))).open('x'),
    'FILE_MISSING',
    'm has no file x; it holds a, b, c, d, e, f, g, h, i, j, k, l',
    {
      folder: 'm',
      file: 'x',
      held: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'],
    },
  ],
  [
    'two chosen files of one name',
    () => openFiles([new File([], 'a'), new File([], 'a')]),
    'FILE_DUPLICATE',
    "two of the chosen files are called a; choose one model's files only",
    { file: 'a' },
  ],
  [
    'a chosen folder too high',
    () =>
      openFiles(
        ['m/a', 'm/n/b', 'm/n/c'].map((path) =>
          Object.defineProperty(new File([], path.slice(-1)), 'webkitRelativePath', { value: path }),
        ),
      ).open('x'),
    'FILE_MISSING',
    "m has no file x; it holds a, and 2 files in folders below it. Choose the folder that holds the model's files itself.",
    { folder: 'm', file: 'x', held: ['a'], below: 2 },
  ],
  [
    'chosen files without it',
    () => openFiles([new File([], 'a')]).open('x'),
    'FILE_MISSING',
    'the chosen files has no file x; it holds a',
    { folder: 'the chosen files', file: 'x', held: ['a'] },
  ],
  [
    'no address',
    () => openUrl('models/mine'),
    'URL_ADDRESS',
    '"models/mine" is not an absolute http or https address of a folder, such as https://example.org/models/mine/. In a page, write new URL(path, location.href).',
    { address: 'models/mine' },
  ],
  [
    'an address of another kind',
    () => openUrl('ftp://host.example/m'),
    'URL_ADDRESS',
    '"ftp://host.example/m" is not an absolute http or https address of a folder, such as https://example.org/models/mine/. In a page, write new URL(path, location.href).',
    { address: 'ftp://host.example/m' },
  ],
])('a file or folder, %s: code, message and details', async (_, ...expected) => check(...expected));

test.each<Case>([
  [
    'config.json too long',
    () => model({ 'config.json': new Uint8Array(2 ** 20 + 1) }),
    'CONFIG_SIZE',
    'config.json has 1048577 bytes; at most 1048576 are accepted for a file of its kind. Is it the right file?',
    { file: 'config.json', limit: 1048576, size: 1048577 },
  ],
  [
    'config.json cut off',
    () => model({ 'config.json': text('"Infinit') }),
    'CONFIG_JSON',
    'config.json is not JSON in UTF-8: Unterminated string in JSON at position 8 (line 1 column 9). Was it downloaded whole?',
    { file: 'config.json', size: 8 },
  ],
  [
    'config.json of null',
    () => model({ 'config.json': text('null') }),
    'CONFIG_JSON',
    'config.json must hold a JSON object, but it holds null',
    { file: 'config.json', found: 'null' },
  ],
  [
    'config.json of a list',
    () => model({ 'config.json': text('[]') }),
    'CONFIG_JSON',
    'config.json must hold a JSON object, but it holds a list',
    { file: 'config.json', found: 'a list' },
  ],
  [
    'config.json of a number',
    () => model({ 'config.json': text('5') }),
    'CONFIG_JSON',
    'config.json must hold a JSON object, but it holds a number',
    { file: 'config.json', found: 'a number' },
  ],
  [
    'tokenizer.json too long',
    () => model({ 'tokenizer.json': new Uint8Array(2 ** 26 + 1) }),
    'TOKENIZER_SIZE',
    'tokenizer.json has 67108865 bytes; at most 67108864 are accepted for a file of its kind. Is it the right file?',
    { file: 'tokenizer.json', limit: 67108864, size: 67108865 },
  ],
  [
    'no config.json',
    () => openModel(memoryFolder('m', { 'model.bin': pattern(1) })),
    'MODEL_FILE',
    'm: config.json was expected, but it holds model.bin. model.bin is of a format that is not read; convert it to safetensors (save_pretrained of transformers does).',
    { folder: 'm', expected: 'config.json', held: ['model.bin'] },
  ],
  [
    'no config.json but weights',
    () => openModel(memoryFolder('m', { 'model.safetensors': pattern(1) })),
    'MODEL_FILE',
    'm: config.json was expected, but it holds model.safetensors. A model folder in Hugging Face layout holds config.json, model.safetensors and tokenizer.json.',
    { folder: 'm', expected: 'config.json', held: ['model.safetensors'] },
  ],
  [
    'no weights',
    () => openModel(memoryFolder('m', { 'config.json': text('{}') })),
    'MODEL_FILE',
    'm: model.safetensors or model.safetensors.index.json was expected, but it holds config.json. A model folder in Hugging Face layout holds config.json, model.safetensors and tokenizer.json.',
    { folder: 'm', expected: 'model.safetensors or model.safetensors.index.json', held: ['config.json'] },
  ],
  [
    'weights of another format',
    () => openModel(memoryFolder('m', { 'config.json': text('{}'), 'w.PTH': pattern(1) })),
    'MODEL_FILE',
    'm: model.safetensors or model.safetensors.index.json was expected, but it holds config.json, w.PTH. w.PTH is of a format that is not read; convert it to safetensors (save_pretrained of transformers does).',
    { folder: 'm', expected: 'model.safetensors or model.safetensors.index.json', held: ['config.json', 'w.PTH'] },
  ],
  [
    'weights of another name',
    () => openModel(memoryFolder('m', { 'config.json': text('{}'), 'w.safetensors': pattern(1), 'w.bin': pattern(1) })),
    'MODEL_FILE',
    'm: model.safetensors or model.safetensors.index.json was expected, but it holds config.json, w.bin, w.safetensors. If w.safetensors holds all weights, rename it to model.safetensors; if it is one of several, add the index.',
    {
      folder: 'm',
      expected: 'model.safetensors or model.safetensors.index.json',
      held: ['config.json', 'w.bin', 'w.safetensors'],
    },
  ],
  [
    'no weights at an address',
    () => openModel(openUrl('https://host.example/m', { fetch: mockServer({ '/m/config.json': text('{}') }).fetch })),
    'MODEL_FILE',
    'm: model.safetensors or model.safetensors.index.json was expected, but its files cannot be listed. A model folder in Hugging Face layout holds config.json, model.safetensors and tokenizer.json.',
    { folder: 'm', expected: 'model.safetensors or model.safetensors.index.json', held: null },
  ],
  [
    'a single file',
    () => openModel(memorySource('w.safetensors', pattern(1))),
    'MODEL_FILE',
    'w.safetensors is a single file without a config.json, so its architecture is unknown. Pass the folder that it lies in (config.json, model.safetensors, tokenizer.json).',
    { file: 'w.safetensors', expected: 'config.json' },
  ],
])('a model, %s: code, message and details', async (_, ...expected) => check(...expected));

test.each<Case>([
  [
    'no map',
    () => index({}),
    'INDEX_WEIGHT_MAP',
    'model.safetensors.index.json has no weight_map (an object: tensor name -> file name)',
    { file: 'model.safetensors.index.json' },
  ],
  [
    'a number as file',
    () => index({ weight_map: { a: 1 } }),
    'INDEX_WEIGHT_MAP',
    'model.safetensors.index.json: tensor "a" must be mapped to a file name',
    { file: 'model.safetensors.index.json', tensor: 'a' },
  ],
  [
    'no file',
    () => index({ weight_map: {} }),
    'INDEX_WEIGHT_MAP',
    'model.safetensors.index.json names 0 files; 1 to 1024 are possible',
    { file: 'model.safetensors.index.json', found: 0 },
  ],
  [
    '1025 files',
    () => index({ weight_map: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`t${i}`, `f${i}`])) }),
    'INDEX_WEIGHT_MAP',
    'model.safetensors.index.json names 1025 files; 1 to 1024 are possible',
    { file: 'model.safetensors.index.json', found: 1025 },
  ],
  [
    'a tensor elsewhere',
    () => index({ weight_map: { x: 'a.safetensors' } }),
    'INDEX_TENSOR',
    'model.safetensors.index.json says that tensor "x" is in a.safetensors, but it is not: the files are of different downloads',
    { file: 'a.safetensors', tensor: 'x' },
  ],
  [
    'a missing shard',
    () => index({ weight_map: { w: 'b.safetensors', x: 'c.safetensors' } }),
    'INDEX_FILE',
    'model.safetensors.index.json needs 2 files, and m has no file b.safetensors; it holds a.safetensors, config.json, model.safetensors.index.json. Put it beside the index.',
    {
      folder: 'm',
      file: 'b.safetensors',
      held: ['a.safetensors', 'config.json', 'model.safetensors.index.json'],
      index: 'model.safetensors.index.json',
    },
  ],
  [
    'one name in two shards',
    async () =>
      safetensorsWeights([
        await openSafetensors(memorySource('s', await file([w]))),
        await openSafetensors(memorySource('t', await file([w]))),
      ]),
    'INDEX_DUPLICATE',
    'tensor "w" is in s and in t; shards must not share names',
    { tensor: 'w', files: ['s', 't'] },
  ],
])('an index, %s: code, message and details', async (_, ...expected) => check(...expected));

test.each<Case>([
  [
    'a missing tensor',
    async () => join((await weights()).read('x')),
    'TENSOR_MISSING',
    'the checkpoint has no tensor "x"; it holds 1 weight: "w"',
    { tensor: 'x' },
  ],
  [
    'a missing tensor of seven',
    async () => join((await weights(letters('g').map((name) => ({ ...w, name })))).read('x')),
    'TENSOR_MISSING',
    'the checkpoint has no tensor "x"; it holds 7 weights: "a", "b", "c", "d", "e", ...',
    { tensor: 'x' },
  ],
  [
    'a missing tensor of five',
    async () => join((await weights(letters('e').map((name) => ({ ...w, name })))).read('x')),
    'TENSOR_MISSING',
    'the checkpoint has no tensor "x"; it holds 5 weights: "a", "b", "c", "d", "e"',
    { tensor: 'x' },
  ],
  [
    'a missing tensor of none',
    () => join(safetensorsWeights([]).read('x')),
    'TENSOR_MISSING',
    'the checkpoint has no tensor "x"; it holds 0 weights',
    { tensor: 'x' },
  ],
  [
    'another dtype',
    async () =>
      join(
        safetensorsWeights([
          await openSafetensors(
            memorySource('t.safetensors', raw('{"q":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1)),
          ),
        ]).read('q'),
      ),
    'TENSOR_DTYPE',
    'tensor "q" in t.safetensors has the dtype I8; weights are read from F32, F16, BF16, F8_E4M3, F8_E5M2. Convert the checkpoint.',
    { tensor: 'q', found: 'I8' },
  ],
  [
    'two of one name',
    async () => renameSource(await weights([w, { ...w, name: 'v' }]), () => 'x'),
    'TENSOR_NAME',
    'tensors "v" and "w" would both be called "x"',
    { names: ['v', 'w'], renamed: 'x' },
  ],
  [
    'renamed',
    async () => join(renameSource(await weights(), (name) => `${name}.0`).read('w')),
    'TENSOR_MISSING',
    'the checkpoint has no tensor "w"; it holds 1 weight: "w.0"',
    { tensor: 'w' },
  ],
])('weights, %s: code, message and details', async (_, ...expected) => check(...expected));

test.each<Case>([
  [
    'unreachable',
    () => urlSource(address, { fetch: () => Promise.reject(new TypeError('no route')) }),
    'URL_NETWORK',
    'https://host.example/m/w.bin could not be reached: no route. Is the network up, and does the server allow this page to read it (CORS)?',
    { url: 'https://host.example/m/w.bin' },
  ],
  [
    '404',
    () => at(status(404)),
    'FILE_MISSING',
    'https://host.example/m/w.bin does not exist (HTTP 404)',
    { url: 'https://host.example/m/w.bin', status: 404 },
  ],
  [
    '410',
    () => at(status(410)),
    'FILE_MISSING',
    'https://host.example/m/w.bin does not exist (HTTP 410)',
    { url: 'https://host.example/m/w.bin', status: 410 },
  ],
  [
    '400',
    () => at(status(400)),
    'URL_STATUS',
    'https://host.example/m/w.bin answered HTTP 400; 206 or 200 was expected. Check the address.',
    { url: 'https://host.example/m/w.bin', status: 400 },
  ],
  [
    '401',
    () => at(status(401)),
    'URL_STATUS',
    'https://host.example/m/w.bin answered HTTP 401; 206 or 200 was expected. The file needs a login: pass an authorization header.',
    { url: 'https://host.example/m/w.bin', status: 401 },
  ],
  [
    '403',
    () => at(status(403)),
    'URL_STATUS',
    'https://host.example/m/w.bin answered HTTP 403; 206 or 200 was expected. The file needs a login: pass an authorization header.',
    { url: 'https://host.example/m/w.bin', status: 403 },
  ],
  [
    '429',
    () => at(status(429)),
    'URL_STATUS',
    'https://host.example/m/w.bin answered HTTP 429; 206 or 200 was expected. Try again later.',
    { url: 'https://host.example/m/w.bin', status: 429 },
  ],
  [
    '500',
    () => at(status(500)),
    'URL_STATUS',
    'https://host.example/m/w.bin answered HTTP 500; 206 or 200 was expected. Try again later.',
    { url: 'https://host.example/m/w.bin', status: 500 },
  ],
  [
    'a page of HTML',
    () => at(() => new Response('<!doctype html>', { headers: { 'content-type': 'Text/HTML; charset=utf-8' } })),
    'FILE_MISSING',
    'https://host.example/m/w.bin does not exist: the server answered with a page of HTML',
    { url: 'https://host.example/m/w.bin', status: 200 },
  ],
  [
    'no ranges where asked for',
    () => at(() => new Response(pattern(100)), { withoutRanges: 'refuse' }),
    'URL_RANGE',
    'https://host.example/m/w.bin: the server does not answer range requests, which were asked for',
    { url: 'https://host.example/m/w.bin', status: 200 },
  ],
  [
    'announced too large',
    () => at(() => new Response(pattern(100), { headers: { 'content-length': '100' } }), { maxDownload: 99 }),
    'FILE_SIZE',
    'https://host.example/m/w.bin has 100 bytes or more; at most 99 are accepted without range requests. Serve it from a server that answers ranges.',
    { url: 'https://host.example/m/w.bin', limit: 99 },
  ],
  [
    'too large unannounced',
    () => at(() => new Response(pattern(100)), { maxDownload: 99 }),
    'FILE_SIZE',
    'https://host.example/m/w.bin has 100 bytes or more; at most 99 are accepted without range requests. Serve it from a server that answers ranges.',
    { url: 'https://host.example/m/w.bin', limit: 99 },
  ],
  [
    'announced otherwise',
    () => at(() => new Response(pattern(100), { headers: { 'content-length': '99' } })),
    'URL_LENGTH',
    'https://host.example/m/w.bin: the server announced 99 bytes and sent 100. Try again.',
    { url: 'https://host.example/m/w.bin', expected: 99, found: 100 },
  ],
  [
    'a part of unknown place twice',
    () => at(() => part('')),
    'URL_RANGE',
    'https://host.example/m/w.bin answered a part (HTTP 206) of unknown place and, asked for the whole file, a part again. Its Content-Range header must be readable.',
    { url: 'https://host.example/m/w.bin', status: 206 },
  ],
  [
    'the whole file later',
    () => later(() => new Response(pattern(100))),
    'URL_RANGE',
    'https://host.example/m/w.bin answered ranges at first, but not bytes 10 to 18 (HTTP 200)',
    { url: 'https://host.example/m/w.bin', status: 200, offset: 10, length: 9 },
  ],
  [
    'another size later',
    () => later(() => part('bytes 10-18/99')),
    'FILE_CHANGED',
    'https://host.example/m/w.bin changed while it was read: it had 100 bytes and now has 99. Load it again from the start.',
    { url: 'https://host.example/m/w.bin' },
  ],
  [
    'another ETag later',
    () => later(() => part('bytes 10-18/100', 9, { etag: '"2"' })),
    'FILE_CHANGED',
    'https://host.example/m/w.bin changed while it was read: its ETag was "1" and is "2". Load it again from the start.',
    { url: 'https://host.example/m/w.bin' },
  ],
  [
    'another range later',
    () => later(() => part('bytes 11-19/100')),
    'URL_RANGE',
    'https://host.example/m/w.bin: bytes 10 to 18 were asked for and 11 to 19 came',
    { url: 'https://host.example/m/w.bin', offset: 10, length: 9, found: { first: 11, last: 19, size: 100 } },
  ],
  [
    'another end later',
    () => later(() => part('bytes 10-17/100', 8)),
    'URL_RANGE',
    'https://host.example/m/w.bin: bytes 10 to 18 were asked for and 10 to 17 came',
    { url: 'https://host.example/m/w.bin', offset: 10, length: 9, found: { first: 10, last: 17, size: 100 } },
  ],
  [
    'fewer bytes later',
    () => later(() => part('bytes 10-18/100', 8)),
    'URL_LENGTH',
    'https://host.example/m/w.bin: a range of 9 bytes was asked for and 8 came. Try again; if it stays so, the server or a proxy alters the file.',
    { url: 'https://host.example/m/w.bin', expected: 9, found: 8 },
  ],
  [
    'more bytes later',
    () => later(() => part('bytes 10-18/100', 10)),
    'URL_LENGTH',
    'https://host.example/m/w.bin: a range of 9 bytes was asked for and more came. Try again; if it stays so, the server or a proxy alters the file.',
    { url: 'https://host.example/m/w.bin', expected: 9, found: 10 },
  ],
  [
    'gone later',
    () => later(status(404)),
    'FILE_CHANGED',
    'https://host.example/m/w.bin changed while it was read: the server now answers HTTP 404. Load it again from the start.',
    { url: 'https://host.example/m/w.bin' },
  ],
  [
    'shorter later',
    () => later(status(416)),
    'FILE_CHANGED',
    'https://host.example/m/w.bin changed while it was read: the server now answers HTTP 416. Load it again from the start.',
    { url: 'https://host.example/m/w.bin' },
  ],
  [
    'an error later',
    () => later(status(503)),
    'URL_STATUS',
    'https://host.example/m/w.bin answered HTTP 503; 206 or 200 was expected. Try again later.',
    { url: 'https://host.example/m/w.bin', status: 503 },
  ],
  [
    'broken off later',
    () =>
      later(
        () =>
          new Response(new ReadableStream({ pull: (controller) => controller.error(new TypeError('cut')) }), {
            status: 206,
            headers: { 'content-range': 'bytes 10-18/100' },
          }),
      ),
    'URL_NETWORK',
    'https://host.example/m/w.bin: the connection broke off (cut). Try again.',
    { url: 'https://host.example/m/w.bin' },
  ],
  [
    'a data address',
    () => urlSource('data:text/html,x'),
    'FILE_MISSING',
    'data:text/html,x does not exist: the server answered with a page of HTML',
    { url: 'data:text/html,x', status: 200 },
  ],
])('an address, %s: code, message and details', async (_, ...expected) => check(...expected));
