import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained } from 'mamba-ts/node';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type HubServer, startHub } from '../../../packages/loaders/test/hub-server.ts';
import { cli, interrupted, json, mamba } from './mamba.ts';

const embedded = fileURLToPath(modelUrl);
const gguf = fileURLToPath(
  new URL('../../../../shared/models/shakespeare-mamba/gguf/shakespeare-mamba-F16.gguf', import.meta.url),
);
// The project stands without shared/: what needs it says loudly that it was skipped.
const here = existsSync(gguf);
if (!here)
  console.warn('SKIPPED: ../shared is missing, the hub is not checked with a GGUF file of the trained checkpoint');

let hub: HubServer;
let files: Server;
let home: string;
beforeAll(async () => {
  const shakespeare: Record<string, Uint8Array> = {};
  for (const name of ['config.json', 'model.safetensors', 'tokenizer.json']) {
    shakespeare[name] = new Uint8Array(await readFile(join(embedded, name)));
  }
  if (here) shakespeare['shakespeare-F16.gguf'] = new Uint8Array(await readFile(gguf));
  hub = await startHub({ 'test/shakespeare': shakespeare });
  files = createServer(({ url, headers }, response) => {
    const bytes = shakespeare[url!.slice(3)];
    const match = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
    if (!bytes || !match) return void response.writeHead(404).end();
    const [first, last] = [Number(match[1]), Math.min(Number(match[2]), bytes.length - 1)];
    response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${bytes.length}` });
    response.end(bytes.subarray(first, last + 1));
  });
  await new Promise<void>((done) => files.listen(0, '127.0.0.1', done));
});
afterAll(async () => {
  await hub.close();
  await new Promise((done) => files.close(done));
});
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'mamba-cli-hub-'));
  // The command's processes inherit it, as does fromPretrained here.
  Object.assign(process.env, { HF_HOME: home, HF_ENDPOINT: hub.endpoint, HF_TOKEN: 'hf_test' });
  hub.fault = () => undefined;
  hub.log.length = 0;
  return async () => {
    for (const name of ['HF_HOME', 'HF_ENDPOINT', 'HF_TOKEN']) delete process.env[name];
    await rm(home, { recursive: true });
  };
});

const greedy = async (from: string, ...more: string[]): Promise<unknown> =>
  (await json(['run', 'ROMEO:', '--model', from, '--temperature', '0', '--max-tokens', '60', ...more])).text;

describe('the same greedy text', () => {
  test('from a folder, an address, the hub, the cache and fromPretrained', async () => {
    const expected = await greedy(embedded);
    expect(await greedy(`http://127.0.0.1:${(files.address() as AddressInfo).port}/m/`)).toBe(expected);
    expect(await greedy('test/shakespeare')).toBe(expected);
    hub.log.length = 0;
    expect(await greedy('test/shakespeare', '--offline')).toBe(expected);
    expect(hub.log).toEqual([]);
    const phases = new Set<string>();
    await rm(home, { recursive: true });
    const model = await fromPretrained('test/shakespeare', { onProgress: ({ phase }) => phases.add(phase) });
    expect(model.info.name).toBe('test/shakespeare');
    expect((await model.generate('ROMEO:', { temperature: 0, maxTokens: 60 })).text).toBe(expected);
    await model.dispose();
    expect(phases).toEqual(new Set(['download', 'weights']));
  }, 120_000);

  test.skipIf(!here)(
    'from a GGUF file of f16 weights: as a path, an address and on the hub',
    async () => {
      // The checkpoint that the file was made from, which is not the embedded one.
      const expected = await greedy(dirname(dirname(gguf)));
      expect(await greedy(gguf)).toBe(expected);
      expect(await greedy(`http://127.0.0.1:${(files.address() as AddressInfo).port}/m/shakespeare-F16.gguf`)).toBe(
        expected,
      );
      expect(await greedy('test/shakespeare:shakespeare-F16.gguf')).toBe(expected);
    },
    120_000,
  );
});

test('an existing path wins over the hub', async () => {
  const folder = join(home, 'work');
  await mkdir(join(folder, 'test'), { recursive: true });
  await symlink(embedded, join(folder, 'test/shakespeare'));
  const child = spawn(process.execPath, [cli, 'show', 'test/shakespeare', '--json'], { cwd: folder });
  expect(await new Promise((done) => child.once('exit', done))).toBe(0);
  expect(hub.log).toEqual([]);
});

test('what is neither a folder nor on the hub is told as both', async () => {
  const { code, stderr } = await mamba(['show', 'test/shakespear']);
  expect(code).toBe(1);
  expect(stderr).toContain('the hub has no such model, revision or file');
  expect(stderr).toContain('There is no folder test/shakespear here either');
});

test('pull, ls, rm', async () => {
  const pulled = await json(['pull', 'test/shakespeare']);
  expect(pulled).toMatchObject({ model: 'test/shakespeare', commit: hub.commit('test/shakespeare') });
  expect(pulled.downloaded_bytes).toBe(pulled.bytes);
  const again = await mamba(['pull', 'test/shakespeare']);
  expect(again.stdout).toBe(`${pulled.path}\n`);
  expect(again.stderr).toContain('all of it was in the cache');
  expect(again.stderr).toContain('--model test/shakespeare');
  expect(await json(['ls'])).toMatchObject({
    cache: join(home, 'hub'),
    bytes: pulled.bytes,
    models: [{ model: 'test/shakespeare', bytes: pulled.bytes, incomplete_bytes: 0, refs: { main: pulled.commit } }],
  });
  expect((await mamba(['ls'])).stdout).toMatch(/^test\/shakespeare +\d+(\.\d+)? MB +main\n$/);
  expect(await json(['rm', 'test/shakespeare'])).toMatchObject({
    removed: [{ model: 'test/shakespeare', bytes: pulled.bytes }],
  });
  expect((await json(['ls'])).models).toEqual([]);
  expect((await mamba(['pull', 'test/shakespeare', '--offline'])).code).toBe(1);
});

test.skipIf(!here)('pull --dtype f16 takes the fewest bytes that serve', async () => {
  const pulled = await json(['pull', 'test/shakespeare', '--dtype', 'f16']);
  const { size } = { size: (await readFile(gguf)).byteLength };
  const plain = (await readFile(join(embedded, 'model.safetensors'))).byteLength;
  expect(pulled.model).toBe(size < plain ? 'test/shakespeare:shakespeare-F16.gguf' : 'test/shakespeare');
});

test('rm refuses names that leave the cache, before anything is removed', async () => {
  await json(['pull', 'test/shakespeare']);
  for (const name of ['../..', '..', '/etc/passwd', 'a/..', 'a--b/c', '.locks', 'test/shakespeare:config.json']) {
    const { code, stderr } = await mamba(['rm', 'test/shakespeare', name]);
    expect([1, 2], name).toContain(code);
    expect(stderr).not.toBe('');
  }
  expect((await json(['ls'])).models).toHaveLength(1);
});

test('Ctrl-C ends a download at once with 130, and it goes on from there', async () => {
  hub.fault = ({ host }) => (host === 'store' ? { slowMs: 60 } : undefined);
  const asked = async (): Promise<void> => {
    while (!hub.log.some(({ host }) => host === 'store')) await new Promise((done) => setTimeout(done, 10));
    await new Promise((done) => setTimeout(done, 200));
  };
  const { code, ms, stdout } = await interrupted(['pull', 'test/shakespeare'], asked);
  expect([code, stdout]).toEqual([130, '']);
  expect(ms).toBeLessThan(2000);
  const blobs = await readdir(join(home, 'hub/models--test--shakespeare/blobs'));
  expect(blobs.some((name) => name.endsWith('.incomplete') || name.length === 64)).toBe(true);
  hub.fault = () => undefined;
  await json(['pull', 'test/shakespeare']);
});

test('a private model: the token is sent, and its absence is told with the remedy', async () => {
  hub.fault = ({ authorization }) => (authorization === 'Bearer hf_test' ? undefined : { status: 401 });
  delete process.env.HF_TOKEN;
  const { code, stderr } = await mamba(['pull', 'test/shakespeare']);
  expect(code).toBe(1);
  expect(stderr).toContain('HF_TOKEN');
  process.env.HF_TOKEN = 'hf_test';
  hub.fault = ({ host, authorization }) =>
    host === 'hub' && authorization !== 'Bearer hf_test' ? { status: 401 } : undefined;
  await json(['pull', 'test/shakespeare']);
});
