import { execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HubCache, hubEnvironment, type PullOptions, pullModel } from '../src/node.ts';
import { codeOf, errorOf, messageOf, pattern } from './helpers.ts';
import { gitSha1, type HubServer, sha256, startHub } from './hub-server.ts';

const LARGE = Uint8Array.from({ length: 3_300_000 }, (_, i) => (i * i) % 251);
const FILES = {
  'README.md': pattern(100),
  'config.json': pattern(30),
  'model.safetensors': LARGE,
  'q/m-Q4_0.gguf': LARGE.subarray(7),
  'tokenizer.json': pattern(400),
};

let hub: HubServer;
let home: string;
beforeEach(async () => {
  hub = await startHub({ 'org/name': FILES });
  home = await mkdtemp(join(tmpdir(), 'mamba-hub-'));
});
afterEach(async () => {
  await hub.close();
  await rm(home, { recursive: true });
});

const options = (more: PullOptions = {}): PullOptions => ({
  endpoint: hub.endpoint,
  cache: home,
  chunkBytes: 1 << 20,
  patience: { delayMs: 1, attempts: 3, silenceMs: 5000 },
  ...more,
});
const pull = (id = 'org/name', more: PullOptions = {}) => pullModel(id, options(more));
const folder = (): string => join(home, 'models--org--name');
const blobs = async (): Promise<string[]> => (await readdir(join(folder(), 'blobs'))).sort();

describe('pull', () => {
  test('writes the layout of the Hugging Face cache: blobs by their hash, links in the snapshot, the ref', async () => {
    const told: number[] = [];
    const {
      id,
      commit,
      folder: snapshot,
      gguf,
      files,
      downloaded,
    } = await pull('org/name', {
      onProgress: ({ done }) => told.push(done),
    });
    expect([id, commit, gguf]).toEqual(['org/name', hub.commit('org/name'), undefined]);
    expect(files.map(({ path }) => path)).toEqual(['model.safetensors', 'config.json', 'tokenizer.json']);
    expect(downloaded).toBe(3_300_430);
    expect(told.at(-1)).toBe(3_300_430);
    expect(snapshot).toBe(join(folder(), 'snapshots', commit));
    expect(await readFile(join(folder(), 'refs/main'), 'utf8')).toBe(commit);
    expect(await blobs()).toEqual([sha256(LARGE), gitSha1(pattern(30)), gitSha1(pattern(400))].sort());
    for (const { path } of files)
      expect(new Uint8Array(await readFile(join(snapshot, path)))).toEqual(FILES[path as keyof typeof FILES]);
    if (process.platform !== 'win32') {
      expect(await readlink(join(snapshot, 'model.safetensors'))).toBe(`../../blobs/${sha256(LARGE)}`);
    }
    expect(await readdir(join(home, '.locks', 'models--org--name'))).toEqual([]);
  });

  test('a second time asks for the listing only', async () => {
    await pull();
    hub.log.length = 0;
    expect((await pull()).downloaded).toBe(0);
    expect(hub.log.map(({ path }) => path)).toEqual(['/api/models/org/name/revision/main']);
  });

  test('a GGUF file in a folder, by name or by type', async () => {
    for (const pulled of [await pull('org/name:q/m-Q4_0.gguf'), await pull('org/name', { dtype: 'q4_0' })]) {
      expect(pulled.id).toBe('org/name:q/m-Q4_0.gguf');
      expect(pulled.gguf).toBe(join(pulled.folder, 'm-Q4_0.gguf'));
      expect(pulled.files).toHaveLength(1);
    }
  });

  test('goes on where it was ended', async () => {
    const stop = new AbortController();
    const onProgress = ({ done }: { done: number }): void => {
      if (done > 2_500_000) stop.abort(new Error('enough'));
    };
    await expect(pull('org/name', { onProgress, connections: 1, signal: stop.signal })).rejects.toThrow('enough');
    expect((await blobs()).filter((name) => name.endsWith('.mamba.incomplete'))).toHaveLength(1);
    expect(await readdir(join(home, '.locks', 'models--org--name'))).toEqual([]);
    hub.log.length = 0;
    expect((await pull()).downloaded).toBe(3_300_000 - 2 * 2 ** 20);
    expect(
      hub.log
        .filter(({ host }) => host === 'store')
        .map(({ range }) => range)
        .sort(),
    ).toEqual(['bytes=2097152-3145727', 'bytes=3145728-3299999']);
    expect(await blobs()).toContain(sha256(LARGE));
  });

  test('fetches again what an earlier process left wrong', async () => {
    const stop = new AbortController();
    const onProgress = ({ done }: { done: number }): void => {
      if (done > 2_500_000) stop.abort(new Error('enough'));
    };
    await expect(pull('org/name', { onProgress, connections: 1, signal: stop.signal })).rejects.toThrow('enough');
    const part = join(folder(), 'blobs', `${sha256(LARGE)}.mamba.incomplete`);
    const bytes = await readFile(part);
    bytes[5]! ^= 1;
    await writeFile(part, bytes);
    await pull();
    expect(await blobs()).toContain(sha256(LARGE));
    // And what is no part at all.
    await rm(folder(), { recursive: true });
    await mkdir(join(folder(), 'blobs'), { recursive: true });
    for (const junk of [0, 5, LARGE.length, LARGE.length + 12, 4_000_000]) {
      await writeFile(part, new Uint8Array(junk).fill(1));
      await pull();
      expect(await blobs()).toContain(sha256(LARGE));
      await rm(join(folder(), 'blobs', sha256(LARGE)));
      await rm(join(folder(), 'snapshots'), { recursive: true });
    }
  });

  test('a wrong hash leaves neither a file nor a part', async () => {
    const other = LARGE.slice();
    other[1_000_000]! ^= 1;
    hub.fault = ({ host }) => (host === 'store' ? { content: other } : undefined);
    expect(await codeOf(() => pull())).toBe('HUB_HASH');
    expect((await blobs()).some((name) => name.startsWith(sha256(LARGE)))).toBe(false);
    expect(await readdir(join(folder(), 'snapshots', hub.commit('org/name')))).not.toContain('model.safetensors');
  });

  test('a file that changes on the way is begun anew, once', async () => {
    let seen = 0;
    hub.fault = ({ host }) => (host === 'store' && seen++ === 0 ? { headers: { etag: '"old"' } } : undefined);
    await pull('org/name', { connections: 1 });
    expect(await blobs()).toContain(sha256(LARGE));
    await rm(folder(), { recursive: true });
    hub.fault = ({ host }) => (host === 'store' ? { headers: { etag: `"${seen++}"` } } : undefined);
    expect(await codeOf(() => pull())).toBe('HUB_CHANGED');
  });

  test('offline asks nobody, and names what is not there', async () => {
    const message = await messageOf(() => pull('org/name', { offline: true }));
    expect(message).toContain('org/name is not in the cache');
    await pull();
    hub.log.length = 0;
    const { files, commit } = await pull('org/name', { offline: true });
    expect([files.length, commit]).toEqual([3, hub.commit('org/name')]);
    expect((await pull(`org/name@${commit}`, { offline: true })).files).toHaveLength(3);
    expect(await codeOf(() => pull('org/name:q/m-Q4_0.gguf', { offline: true }))).toBe('HUB_FILE');
    expect(hub.log).toEqual([]);
  });

  test('falls back on the cache where the hub cannot be reached, and says so', async () => {
    await pull();
    const notes: string[] = [];
    const closed = { endpoint: 'http://127.0.0.1:1', onNote: (text: string) => notes.push(text) };
    expect((await pull('org/name', closed)).files).toHaveLength(3);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain('Meanwhile the copy in the cache is used');
    expect(await codeOf(() => pull('org/other', closed))).toBe('HUB_NETWORK');
  });

  test('a name that would leave the cache is refused before anything is written', async () => {
    for (const path of ['../../../evil-F16.gguf', '/evil-F16.gguf', 'a\\..\\evil-F16.gguf', 'a/../evil-F16.gguf']) {
      const file = { rfilename: path, size: 5, blobId: gitSha1(pattern(5)) };
      hub.fault = () => ({ json: { sha: '0'.repeat(40), siblings: [file] } });
      expect(await codeOf(() => pull()), path).toBe('FILE_NAME');
    }
    expect(await readdir(home)).toEqual([]);
  });
});

describe('the lock', () => {
  const lockFile = () => new HubCache(home).lockFile('org/name', sha256(LARGE));
  const held = async (holder: object): Promise<void> => {
    await mkdir(join(home, '.locks', 'models--org--name'), { recursive: true });
    await writeFile(lockFile(), JSON.stringify(holder));
  };

  test('lets two pulls share one download', async () => {
    hub.fault = ({ host }) => (host === 'store' ? { slowMs: 5 } : undefined);
    const phases = new Set<string>();
    const onProgress = ({ phase }: { phase: string }): void => void phases.add(phase);
    const [a, b] = await Promise.all([pull('org/name', { onProgress }), pull('org/name', { onProgress })]);
    expect(a.downloaded + b.downloaded).toBe(3_300_430);
    expect(hub.log.filter(({ host }) => host === 'store')).toHaveLength(4);
    expect(phases).toEqual(new Set(['download', 'wait']));
  });

  test('of a process that has died is taken over at once', async () => {
    const child = spawn(process.execPath, ['-e', '0']);
    await new Promise((done) => child.once('exit', done));
    await held({ pid: child.pid, host: hostname(), token: 'x' });
    const started = performance.now();
    await pull();
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('of another machine is taken over when it has not been touched for 30 s, and waited for until then', async () => {
    await held({ pid: 1, host: 'elsewhere', token: 'x' });
    const stop = new AbortController();
    const onProgress = ({ phase }: { phase: string }): void => {
      if (phase === 'wait') stop.abort(new Error('waits'));
    };
    await expect(pull('org/name', { onProgress, signal: stop.signal })).rejects.toThrow('waits');
    const old = new Date(Date.now() - 31_000);
    await utimes(lockFile(), old, old);
    await pull();
  });
});

describe('the cache', () => {
  test('lists and removes models, and nothing else', async () => {
    const cache = new HubCache(home);
    expect(await new HubCache(join(home, 'absent')).list()).toEqual([]);
    await pull();
    await mkdir(join(home, 'datasets--a--b'));
    await mkdir(join(home, 'mine'));
    const [model, ...others] = await cache.list();
    expect(others).toEqual([]);
    expect(model).toMatchObject({ id: 'org/name', bytes: 3_300_430, incompleteBytes: 0 });
    expect(model!.refs).toEqual({ main: hub.commit('org/name') });
    await cache.remove('org/name');
    expect(await cache.list()).toEqual([]);
    expect((await readdir(home)).sort()).toEqual(['.locks', 'datasets--a--b', 'mine']);
    expect(await codeOf(() => cache.remove('org/name'))).toBe('HUB_MISSING');
  });

  test('removes a link, not what it points to', async () => {
    const precious = join(home, 'precious');
    await mkdir(precious);
    await writeFile(join(precious, 'a'), 'a');
    await mkdir(join(home, 'hub', 'models--org--name'), { recursive: true });
    await symlink(precious, join(home, 'hub', 'models--org--name', 'blobs'));
    await symlink(precious, join(home, 'hub', 'models--org--link'));
    const cache = new HubCache(join(home, 'hub'));
    await cache.remove('org/name');
    await cache.remove('org/link');
    expect(await readdir(precious)).toEqual(['a']);
  });

  test.each(['..', '../..', 'a/..', '/etc/x', 'a/b/../c', 'a--b/c', '.locks/x', 'a\\b/c', 'a/b\0'])(
    'removes nothing by the name %j',
    async (name) => {
      const error = await errorOf(() => new HubCache(home).remove(name));
      expect(error?.code).toBe('HUB_ID');
    },
  );
});

test('the environment is read as Python reads it', () => {
  const read = (env: Record<string, string>) => hubEnvironment({ HF_TOKEN_PATH: '/absent', ...env });
  expect(read({ HF_HOME: '/h' })).toEqual({
    cache: join('/h', 'hub'),
    endpoint: 'https://huggingface.co',
    offline: false,
  });
  expect(read({ HF_HOME: '/h', HF_HUB_CACHE: '/c' }).cache).toBe('/c');
  expect(read({ XDG_CACHE_HOME: '/x' }).cache).toBe(join('/x', 'huggingface', 'hub'));
  expect(read({ HF_TOKEN: ' t\n', HF_ENDPOINT: 'http://e' })).toMatchObject({ token: 't', endpoint: 'http://e' });
  for (const yes of ['1', 'ON', 'yes', 'True']) expect(read({ HF_HUB_OFFLINE: yes }).offline).toBe(true);
  for (const no of ['', '0', 'off']) expect(read({ HF_HUB_OFFLINE: no }).offline).toBe(false);
});

test('the token lies in a file, too', async () => {
  await writeFile(join(home, 'token'), 'hf_abc\n');
  expect(hubEnvironment({ HF_HOME: home }).token).toBe('hf_abc');
});

describe("Python's huggingface_hub", () => {
  const venv = process.env.PYTHON ?? 'python3';
  const python = (code: string, env: Record<string, string>): string =>
    execFileSync(venv, ['-c', `from huggingface_hub import *\n${code}`], {
      env: { ...process.env, HF_HUB_CACHE: home, HF_HUB_DISABLE_TELEMETRY: '1', ...env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  let here = true;
  try {
    execFileSync(venv, ['-c', 'import huggingface_hub'], { stdio: 'ignore' });
  } catch {
    here = false;
    console.warn(`SKIPPED: ${venv} has no huggingface_hub (PYTHON names another), so the shared cache is not checked`);
  }

  test.skipIf(!here)('finds, offline, what was pulled', async () => {
    const { folder: snapshot } = await pull();
    const offline = { HF_HUB_OFFLINE: '1' };
    expect(python("print(snapshot_download('org/name'))", offline)).toBe(snapshot);
    const path = python("print(hf_hub_download('org/name', 'model.safetensors'))", offline);
    expect(new Uint8Array(await readFile(path))).toEqual(LARGE);
    const scanned = python(
      'c = scan_cache_dir()\nprint([(r.repo_id, r.size_on_disk, r.nb_files) for r in c.repos], [str(w) for w in c.warnings])',
      offline,
    );
    expect(scanned).toBe("[('org/name', 3300430, 3)] []");
  });

  test.skipIf(!here)('what it has downloaded is used', async () => {
    // While another thread must answer it: not execFileSync.
    const child = spawn(
      venv,
      [
        '-c',
        "from huggingface_hub import *\nfor f in ['config.json','model.safetensors','tokenizer.json']: hf_hub_download('org/name', f)",
      ],
      {
        env: {
          ...process.env,
          HF_HUB_CACHE: home,
          HF_ENDPOINT: hub.endpoint,
          HF_HUB_DISABLE_XET: '1',
          HF_HUB_DISABLE_TELEMETRY: '1',
        },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let stderr = '';
    child.stderr.on('data', (text) => (stderr += text));
    expect(await new Promise((done) => child.once('exit', done)), stderr).toBe(0);
    hub.log.length = 0;
    expect((await pull()).downloaded).toBe(0);
    expect(hub.log).toHaveLength(1);
    expect((await pull('org/name', { offline: true })).files).toHaveLength(3);
  });
});
