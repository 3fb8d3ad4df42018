import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, json, mamba } from './mamba.ts';

/** Words enough to learn something from in seconds. */
const TEXT = Array.from(
  { length: 900 },
  (_, i) => ['to be', 'or not', 'to scan,', 'perchance', 'to dream'][(i * i) % 5],
)
  .join(' ')
  .replaceAll('dream or not', 'dream.\n\nOr not');
const SMALL = {
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  intermediate_size: 32,
};
const MAMBA2 = { num_heads: 2, head_dim: 16, state_size: 4 };
const MAMBA3 = { d_model: 16, n_layer: 2, ssm_cfg: { layer: 'Mamba3', headdim: 8, d_state: 4, ngroups: 1 } };

let folder: string;
let data: string;
const configs: Record<string, string> = {};
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-train-'));
  data = join(folder, 'text.txt');
  await writeFile(data, TEXT);
  for (const arch of ['mamba', 'mamba2', 'mamba3', 'gpt-neox', 'llama']) {
    configs[arch] = join(folder, `${arch}.json`);
    const config = arch === 'mamba3' ? MAMBA3 : { ...SMALL, ...(arch === 'mamba2' ? MAMBA2 : {}) };
    await writeFile(configs[arch], JSON.stringify(config));
  }
});
afterAll(() => rm(folder, { recursive: true }));

const options = (arch: string, out: string): string[] => [
  ...['train', '--arch', arch, '--config', configs[arch]!, '--data', data, '--out', out],
  ...['--vocab-size', '280', '--batch', '2', '--length', '16', '--warmup', '4', '--rate', '0.02'],
  ...['--eval-every', '8', '--save-every', '4', '--seed', '3'],
];

describe('mamba train', () => {
  test.each(['mamba', 'mamba2', 'mamba3', 'gpt-neox', 'llama'])(
    '%s: the loss falls, and the model runs',
    async (arch) => {
      const out = join(folder, `run-${arch}`);
      const chart = join(folder, `${arch}.html`);
      const result = await json([...options(arch, out), '--steps', '24', '--html', chart]);
      expect(result).toMatchObject({ steps: 24, tokens: 24 * 32, out });
      const log = (await readFile(join(out, 'log.jsonl'), 'utf8'))
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(log.map(({ step }) => step)).toEqual(Array.from({ length: 24 }, (_, i) => i + 1));
      expect(log.filter(({ val_loss }) => val_loss !== undefined).map(({ step }) => step)).toEqual([8, 16, 24]);
      expect(log[0].nats_per_token - (result.val_loss as number)).toBeGreaterThan(0.5);
      expect(result.val_loss).toBe(Math.min(...log.flatMap(({ val_loss }) => val_loss ?? [])));
      // Characters of the validation text are the tenth that was kept apart.
      const { tokens } = await json(['score', '--model', out, '--text', await tenth()]);
      expect(result.val_loss_per_char).toBeCloseTo(
        ((result.val_loss as number) * (tokens as number)) / (TEXT.length / 10),
        1,
      );
      expect((await readdir(join(out, 'checkpoints'))).length).toBe(2);
      // Not drawn: a draw may be the end of the text.
      const words = await json(['run', 'to be', '--model', out, '--temperature', '0', '--max-tokens', '4']);
      expect(words.tokens).toBe(4);
      expect(await readFile(chart, 'utf8')).toContain('<svg');
    },
    120_000,
  );

  test('killed three times and resumed: the weights of a run that was not, to the bit', async () => {
    const [whole, killed] = [join(folder, 'whole'), join(folder, 'killed')];
    const args = (out: string): string[] => [...options('mamba', out), '--steps', '40', '--dropout', '0.1'];
    await json(args(whole));
    const newest = async (): Promise<string> =>
      (await readdir(join(killed, 'checkpoints')).catch(() => [] as string[]))
        .filter((n) => n.startsWith('step'))
        .sort()
        .at(-1) ?? '';
    for (let kill = 0; kill < 3; kill++) {
      const before = await newest();
      const child = spawn(process.execPath, [
        cli,
        ...(kill === 0 ? args(killed) : ['train', '--out', killed, '--resume']),
      ]);
      while ((await newest()) === before) await wait(5);
      await wait(20 * kill);
      child.kill('SIGKILL');
      await new Promise((done) => child.once('exit', done));
    }
    const resumed = await json(['train', '--out', killed, '--resume']);
    expect(resumed.steps).toBe(40);
    for (const file of ['model.safetensors', 'checkpoints/step-00000040.safetensors']) {
      const [a, b] = await Promise.all([whole, killed].map((run) => readFile(join(run, file))));
      // The position in the header names the seconds, which differ.
      const tensors = (bytes: Buffer): Buffer => bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
      expect(tensors(a!).equals(tensors(b!)), file).toBe(true);
    }
    const losses = async (run: string): Promise<string> => await readFile(join(run, 'log.jsonl'), 'utf8');
    expect(await losses(killed)).toBe(await losses(whole));
  }, 120_000);

  test('--minutes fixes the number of steps after 20 and records it', async () => {
    const out = join(folder, 'minutes');
    const args = options('mamba', out).map((arg, i, all) => (all[i - 1] === '--warmup' ? '20' : arg));
    const { steps } = await json([...args, '--minutes', '0.03']);
    expect(steps).toBeGreaterThanOrEqual(20);
    expect(JSON.parse(await readFile(join(out, 'run.json'), 'utf8')).steps).toBe(steps);
  }, 60_000);

  test('JSON lines are documents; token files need a tokenizer; a new run never lands on an old one', async () => {
    const lines = join(folder, 'text.jsonl');
    await writeFile(
      lines,
      TEXT.split('\n\n')
        .map((text) => JSON.stringify({ text }))
        .join('\n'),
    );
    const out = join(folder, 'documents');
    const args = options('mamba', out).map((arg) => (arg === data ? lines : arg));
    expect((await json([...args, '--steps', '5'])).steps).toBe(5);
    const again = await mamba([...args, '--steps', '5']);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('--resume')]);
    await writeFile(lines, '{"text": 5}');
    const wrong = await mamba([
      ...options('mamba', join(folder, 'wrong')).map((arg) => (arg === data ? lines : arg)),
      '--steps',
      '5',
    ]);
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('text.jsonl:1')]);

    const ids = join(folder, 'ids.u16');
    await writeFile(ids, new Uint8Array(Uint16Array.from({ length: 400 }, (_, i) => (i * i) % 97).buffer));
    const tokens = options('mamba', join(folder, 'tokens')).map((arg) => (arg === data ? ids : arg));
    expect((await mamba([...tokens, '--steps', '5'])).code).toBe(2);
    const result = await json([...tokens, '--steps', '5', '--tokenizer', out]);
    expect(result).toMatchObject({ steps: 5, val_loss_per_char: null });
  }, 60_000);

  test('2 for a wrong call, 1 for what fails', async () => {
    const out = join(folder, 'nothing');
    expect((await mamba(['train', '--out', out, '--data', data])).code).toBe(2);
    expect((await mamba(['train', '--out', out, '--data', data, '--steps', '5', '--minutes', '1'])).code).toBe(2);
    expect((await mamba(['train', '--out', out, '--resume'])).code).toBe(1);
    expect((await mamba(['train', '--out', out, '--data', join(folder, 'none'), '--steps', '5'])).code).toBe(1);
    const long = await mamba(['train', '--out', out, '--data', data, '--steps', '5', '--warmup', '9']);
    expect([long.code, long.stderr]).toEqual([1, expect.stringContaining('5 steps cannot have 9 of warm-up')]);
    expect(existsSync(out)).toBe(false);
  });

  test('a warm-up that was not asked for fits a short run', async () => {
    const out = join(folder, 'short');
    const args = options('mamba', out).filter((arg, i, all) => arg !== '--warmup' && all[i - 1] !== '--warmup');
    expect((await json([...args, '--steps', '9'])).steps).toBe(9);
    expect(JSON.parse(await readFile(join(out, 'run.json'), 'utf8')).options.warmup).toBe(2);
  });

  test('a run that was killed before its first checkpoint is resumed like any other', async () => {
    const [whole, killed] = [join(folder, 'unkept-whole'), join(folder, 'unkept')];
    const args = (out: string): string[] => [...options('mamba', out), '--steps', '9', '--save-every', '100'];
    await json(args(whole));
    await json(args(killed));
    // As it lay after its fifth step, in the middle of a line.
    const log = await readFile(join(whole, 'log.jsonl'), 'utf8');
    await rm(join(killed, 'checkpoints'), { recursive: true });
    await mkdir(join(killed, 'checkpoints'));
    await writeFile(join(killed, 'log.jsonl'), log.split('\n').slice(0, 5).join('\n').slice(0, -3));
    expect((await json(['train', '--out', killed, '--resume'])).steps).toBe(9);
    expect(await readFile(join(killed, 'log.jsonl'), 'utf8')).toBe(log);
    // And what it was begun with may be said again, but nothing else.
    expect((await json([...args(killed), '--resume'])).steps).toBe(9);
    const other = await mamba(['train', '--out', killed, '--resume', '--rate', '0.5']);
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('begun with rate = 0.02')]);
  }, 60_000);

  test('a new run writes over no model, but over one that failed before its first step', async () => {
    const model = join(folder, 'a-model');
    await mkdir(model);
    await writeFile(join(model, 'config.json'), '{}');
    const refused = await mamba([...options('mamba', model), '--steps', '5']);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('would write over it')]);
    expect(await readFile(join(model, 'config.json'), 'utf8')).toBe('{}');

    const out = join(folder, 'second-try');
    const long = options('mamba', out).map((arg, i, all) => (all[i - 1] === '--length' ? '100000' : arg));
    const short = await mamba([...long, '--steps', '5']);
    expect([short.code, short.stderr]).toEqual([1, expect.stringContaining('shorten the pieces')]);
    expect((await json([...options('mamba', out), '--steps', '5'])).steps).toBe(5);
    const none = await mamba([...options('mamba', join(folder, 'unchecked')), '--steps', '5', '--validation', '0']);
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('kept apart for validation has 0 tokens')]);
  }, 60_000);

  test('what fails while worker threads wait ends the program', async () => {
    const out = join(folder, 'spoilt');
    await json([...options('mamba', out), '--steps', '5', '--threads', '2']);
    const plan = JSON.parse(await readFile(join(out, 'run.json'), 'utf8'));
    await writeFile(join(out, 'run.json'), JSON.stringify({ ...plan, steps: 3 }));
    const spoilt = await mamba(['train', '--out', out, '--resume', '--threads', '2']);
    expect([spoilt.code, spoilt.stderr]).toEqual([1, expect.stringContaining('3 steps cannot have 4 of warm-up')]);
  }, 30_000);
});

test('mamba tokenizer train: a vocabulary that tokenize understands', async () => {
  const out = join(folder, 'tokenizer.json');
  expect(await json(['tokenizer', 'train', '--data', data, '--out', out, '--vocab-size', '270'])).toEqual({
    vocab_size: 270,
    merges: 13,
    out,
  });
  const { model } = JSON.parse(await readFile(out, 'utf8'));
  expect(model.vocab['<|endoftext|>']).toBe(0);
});

async function tenth(): Promise<string> {
  const path = join(folder, 'tenth.txt');
  await writeFile(path, TEXT.slice(Math.floor(0.9 * TEXT.length)));
  return path;
}
