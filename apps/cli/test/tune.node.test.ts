import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, json, mamba } from './mamba.ts';

const WORDS = ['to be', 'or not', 'to scan,', 'perchance', 'to dream'];
const text = (words: readonly string[], count: number): string =>
  Array.from({ length: count }, (_, i) => words[(i * i) % words.length]).join(' ');
/** The same words in a style that the base has not seen: capitals, one to a line. */
const STYLE = text(WORDS, 900).toUpperCase().replaceAll(' ', '\n');

let folder: string;
let data: string;
let base: string;
let transformer: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-tune-'));
  const [plain, config] = [join(folder, 'plain.txt'), join(folder, 'config.json')];
  data = join(folder, 'style.txt');
  await writeFile(plain, `${text(WORDS, 600)} ${STYLE.slice(0, 200)}`);
  await writeFile(data, STYLE);
  const small = { hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2, num_key_value_heads: 2 };
  await writeFile(config, JSON.stringify({ ...small, intermediate_size: 32 }));
  [base, transformer] = [join(folder, 'base'), join(folder, 'llama')];
  for (const [arch, out] of [
    ['mamba', base],
    ['llama', transformer],
  ] as const) {
    await json([
      ...['train', '--arch', arch, '--config', config, '--data', plain, '--out', out, '--steps', '24'],
      ...['--vocab-size', '270', '--batch', '2', '--length', '16', '--warmup', '4', '--rate', '0.02'],
    ]);
  }
}, 120_000);
afterAll(() => rm(folder, { recursive: true }));

const options = (method: string, out: string, model = base): string[] => [
  ...['tune', '--model', model, '--method', method, '--data', data, '--out', out],
  ...['--batch', '2', '--length', '16', '--warmup', '4', '--rate', '0.05', '--rank', '2', '--alpha', '4'],
  ...['--eval-every', '8', '--save-every', '4', '--seed', '3', '--threads', '1'],
];
const hash = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
const weights = (model: string): string => join(model, 'model.safetensors');
const nats = async (...args: string[]): Promise<number> =>
  (await json(['score', '--text', data, ...args])).nats_per_token as number;

describe('mamba tune', () => {
  test.each([
    ['lora', 0.05],
    ['state', 0.01],
    ['full', 0.3],
  ])(
    '%s: the loss on a new style falls by %d nats or more, and the base stays as it is, to the bit',
    async (method, least) => {
      const out = join(folder, method);
      const before = await hash(weights(base));
      const result = await json([...options(method, out), '--steps', '32']);
      expect(result).toMatchObject({ method, steps: 32, tokens: 32 * 32, out });
      expect((result.val_loss_before as number) - (result.val_loss as number)).toBeGreaterThan(least);
      expect(await hash(weights(base))).toBe(before);
      const used = {
        lora: ['--model', base, '--adapter', out],
        state: ['--model', base, '--state', join(out, 'tuned.state')],
        full: ['--model', out],
      }[method]!;
      expect(await nats(...used, '--window', '16')).toBeLessThan(await nats('--model', base, '--window', '16'));
      expect((await json(['run', 'TO', ...used, '--max-tokens', '4'])).tokens).toBe(4);
    },
    120_000,
  );

  test('lora: merged by convert, the model has the same nats within 1e-5', async () => {
    const [merged, adapter] = [join(folder, 'merged'), join(folder, 'lora')];
    await json(['convert', base, merged, '--adapter', adapter]);
    const both = [await nats('--model', merged), await nats('--model', base, '--adapter', adapter)];
    expect(Math.abs(both[0]! - both[1]!)).toBeLessThanOrEqual(1e-5);
  }, 60_000);

  test('an adapter and a state of another model are refused; a Transformer has no state to tune', async () => {
    const other = join(folder, 'full');
    const adapter = await mamba(['run', '--model', other, '--adapter', join(folder, 'lora')]);
    expect([adapter.code, adapter.stderr]).toEqual([1, expect.stringContaining('belongs to another model')]);
    const state = await mamba(['run', '--model', other, '--state', join(folder, 'state', 'tuned.state')]);
    expect([state.code, state.stderr]).toEqual([1, expect.stringContaining('belongs to another model')]);
    const none = await mamba([...options('state', join(folder, 'none'), transformer), '--steps', '5']);
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('no state that could be tuned')]);
    const target = await mamba([...options('lora', join(folder, 'no')), '--targets', 'q_proj', '--steps', '5']);
    expect([target.code, target.stderr]).toEqual([
      1,
      expect.stringContaining('no layer of this model is called "q_proj"'),
    ]);
    expect((await mamba(['tune', '--out', join(folder, 'no'), '--data', data])).code).toBe(2);
  }, 60_000);

  test('killed twice and resumed: the adapter of a run that was not, to the bit', async () => {
    const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
    const args = (out: string): string[] => [...options('lora', out), '--steps', '32'];
    await json(args(whole));
    const newest = async (): Promise<string> =>
      (await readdir(join(killed, 'checkpoints')).catch(() => [] as string[]))
        .filter((name) => name.startsWith('step'))
        .sort()
        .at(-1) ?? '';
    for (let kill = 0; kill < 2; kill++) {
      const before = await newest();
      const again = ['tune', '--out', killed, '--resume', '--threads', '2'];
      const child = spawn(process.execPath, [cli, ...(kill === 0 ? args(killed) : again)]);
      while ((await newest()) === before) await wait(5);
      child.kill('SIGKILL');
      await new Promise((done) => child.once('exit', done));
    }
    expect((await json(['tune', '--out', killed, '--resume'])).steps).toBe(32);
    const file = 'adapter_model.safetensors';
    expect(await hash(join(killed, file))).toBe(await hash(join(whole, file)));
    expect((await mamba(['train', '--out', killed, '--resume'])).code).toBe(2);
  }, 120_000);
});

const python = process.env.PYTHON;
if (!python)
  console.warn('SKIPPED: PYTHON names no Python with peft and transformers: adapters are not compared with PEFT');

describe.skipIf(!python)('PEFT computes the logits that we do within 1e-4', () => {
  test.each([
    ['in_proj,x_proj', []],
    ['in_proj,x_proj,dt_proj', ['merge']],
  ])(
    '%s %j',
    async (targets, how) => {
      const out = join(folder, `peft-${targets}`);
      await json([...options('lora', out), '--targets', targets, '--steps', '8']);
      const [ids, logits] = [join(folder, 'ids.json'), join(folder, 'logits.safetensors')];
      await writeFile(ids, JSON.stringify(Array.from({ length: 20 }, (_, i) => (7 * i * i + 3) % 250)));
      await json(['score', '--model', base, '--adapter', out, '--ids', ids, '--logits', logits]);
      const script = fileURLToPath(new URL('../../../fixtures/adapters.py', import.meta.url));
      const child = promisify(execFile)(python!, [script, 'check', base, out, ...how], { maxBuffer: 1 << 26 });
      child.child.stdin!.end(await readFile(ids));
      const expected = (JSON.parse((await child).stdout.trim().split('\n').at(-1)!) as number[][]).flat();
      const bytes = await readFile(logits);
      const found = new Float32Array(
        bytes.buffer.slice(bytes.byteOffset + bytes.length - 4 * expected.length, bytes.byteOffset + bytes.length),
      );
      expect(Math.max(...expected.map((value, i) => Math.abs(value - found[i]!)))).toBeLessThanOrEqual(1e-4);
    },
    120_000,
  );
});
