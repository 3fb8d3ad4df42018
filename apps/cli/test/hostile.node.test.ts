import { execFile, spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, interrupted, mamba } from './mamba.ts';

let folder: string;
/** A model folder that holds a file with a name that colours a terminal red. */
let evil: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-hostile-'));
  evil = join(folder, 'evil');
  await cp(fileURLToPath(modelUrl), evil, { recursive: true });
  await rm(join(evil, 'model.safetensors'));
  await writeFile(join(evil, '\x1b[31mred'), '');
});
afterAll(() => rm(folder, { recursive: true }));

test('names from a folder reach stderr without their control characters', async () => {
  const { code, stderr } = await mamba(['show', evil]);
  expect(code).toBe(1);
  expect(stderr).toContain('\ufffd[31mred');
  expect(stderr).not.toContain('\x1b');
});

// util-linux's `script` lends a terminal; elsewhere its options differ.
const terminal = process.platform === 'linux' && existsSync('/usr/bin/script');
if (!terminal) console.warn('SKIPPED: no terminal to lend, what `mamba run` shows on one is not checked');
test.skipIf(!terminal)(
  'mamba run shows no control characters on a terminal, and passes bytes on to a pipe',
  async () => {
    const prompt = 'a\x1b]0;renamed\x07\x9b2Jb';
    const args = ['run', prompt, '--max-tokens', '0'];
    expect((await mamba(args)).stdout).toBe(`${prompt}\n`);
    const command = [process.execPath, cli, ...args].map((word) => `'${word}'`).join(' ');
    const shown = await new Promise<string>((resolve) => {
      execFile(
        '/usr/bin/script',
        ['-qec', command, '/dev/null'],
        { env: { ...process.env, NO_COLOR: '1' } },
        (_, out) => resolve(out),
      );
    });
    expect(shown).toContain('a\ufffd]0;renamed\ufffd\ufffd2Jb');
  },
);

test('text on stdin must be UTF-8, as in files', async () => {
  const child = spawn(process.execPath, [cli, 'tokenize'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.end(Uint8Array.of(0x66, 0xfc, 0x72));
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, stderr]).toEqual([1, 'mamba: stdin cannot be read: it is not UTF-8\n']);
});

const full = existsSync('/dev/full');
if (!full) console.warn('SKIPPED: no /dev/full, a full disk is not checked');
describe.skipIf(!full)('where nothing can be written', () => {
  const exit = (stdout: 'ignore' | number, stderr: 'pipe' | number): Promise<{ code: unknown; stderr: string }> =>
    new Promise((resolve) => {
      const child = spawn(process.execPath, [cli, 'run', 'x', '--max-tokens', '2'], {
        stdio: ['ignore', stdout, stderr],
      });
      let told = '';
      child.stderr?.on('data', (chunk) => {
        told += chunk;
      });
      child.once('close', (code) => resolve({ code, stderr: told }));
    });

  test('to stdout: 1, and the reason', async () => {
    const { code, stderr } = await exit(openSync('/dev/full', 'w'), 'pipe');
    expect([code, stderr]).toEqual([1, 'mamba: stdout cannot be written (ENOSPC)\n']);
  });

  test('to stderr: the result counts', async () => {
    expect((await exit('ignore', openSync('/dev/full', 'w'))).code).toBe(0);
  });
});

describe('130 after Ctrl-C, within 2 s', () => {
  const started = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 1500));
  const model = fileURLToPath(modelUrl);
  test.each([
    ['bench, in a long prompt', ['bench', '--prompt-tokens', '9007199254740991']],
    ['bench, while weights are made', ['bench', '--random', 'mamba-2.8b']],
    ['compare, in a long text', ['compare', '--models', model, '--lengths', '9007199254740991']],
  ])('%s', async (_, args) => {
    const { code, stdout, ms } = await interrupted(args, started);
    expect([code, stdout]).toEqual([130, '']);
    expect(ms).toBeLessThan(2000);
  });

  test('while stdin is awaited', async () => {
    for (const command of ['run', 'tokenize', 'inspect']) {
      const child = spawn(process.execPath, [cli, command], { stdio: ['pipe', 'pipe', 'pipe'] });
      await started();
      child.kill('SIGINT');
      expect(await new Promise((resolve) => child.once('exit', resolve)), command).toBe(130);
    }
  });
});

describe('mamba score --logits', () => {
  test('writes what could not be held: a folder that is missing is told before the text is scored', async () => {
    const ids = join(folder, 'ids.json');
    await writeFile(ids, JSON.stringify(new Array(2_000_000).fill(1)));
    const started = performance.now();
    const { code, stderr } = await mamba(['score', '--ids', ids, '--logits', join(folder, 'no', 'logits')]);
    expect([code, stderr]).toEqual([1, `mamba: ${join(folder, 'no')} does not exist\n`]);
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  test('leaves no file behind where scoring fails or is interrupted, and all rows where it passes', async () => {
    const kept = async (): Promise<string[]> => (await readdir(folder)).filter((name) => name.includes('logits'));
    const logits = ['--logits', join(folder, 'logits')];
    await writeFile(join(folder, 'bad.json'), '[1,5000]');
    expect((await mamba(['score', '--ids', join(folder, 'bad.json'), ...logits])).code).toBe(1);
    expect(await kept()).toEqual([]);
    const long = join(folder, 'long.txt');
    await writeFile(long, 'All the world is a stage.\n'.repeat(20_000));
    const wait = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 1500));
    expect((await interrupted(['score', '--text', long, ...logits], wait)).code).toBe(130);
    expect(await kept()).toEqual([]);
    await writeFile(join(folder, 'three.json'), '[1,2,3]');
    expect((await mamba(['score', '--ids', join(folder, 'three.json'), ...logits])).code).toBe(0);
    const bytes = await readFile(join(folder, 'logits'));
    expect(bytes.length).toBe(8 + Number(bytes.readBigUInt64LE()) + 4 * 3 * 1024);
  });
});
