import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { afterAll, beforeAll, expect, test } from 'vitest';
// @ts-expect-error: a script without types
import { make, mamba, recipeOf } from './make-model.mjs';

let scratch: string;
let data: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'mamba-recipes-'));
  data = join(scratch, 'text.txt');
  await writeFile(data, 'To be, or not to be: that is the question. '.repeat(9));
});
afterAll(() => rm(scratch, { recursive: true }));

const tokenizer = fileURLToPath(new URL('tokenizer.json', modelUrl));

/** A run by the recipe itself, but for one short step on another text. */
function shortRun(name: string): { params: number; run: string } {
  const run = join(scratch, name);
  const short = ['--steps', '1', '--schedule', 'cosine', '--warmup', '0', '--batch', '1', '--length', '32'];
  const { train } = recipeOf(name);
  const { params } = mamba('train', ...train, ...short, '--data', data, '--tokenizer', tokenizer, '--out', run);
  return { params, run };
}

/** Name and shape of each tensor. */
function shapesOf(file: string | URL): [string, number[]][] {
  const bytes = readFileSync(file);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
  return Object.entries<{ shape: number[] }>(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, { shape }]): [string, number[]] => [name, shape])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

test('the recipes of the twins make models of one size within 1 %, by one schedule', () => {
  const [first, second] = ['shakespeare', 'shakespeare-transformer'].map(shortRun);
  expect(shapesOf(join(first!.run, 'model.safetensors'))).toEqual(shapesOf(new URL('model.safetensors', modelUrl)));
  expect(Math.abs(second!.params / first!.params - 1)).toBeLessThanOrEqual(0.01);
  const scheduleOf = (name: string) => recipeOf(name).train.slice(recipeOf(name).train.indexOf('--batch'));
  expect(scheduleOf('shakespeare-transformer')).toEqual(scheduleOf('shakespeare'));
}, 120_000);

test('a run that has ended fills a package: weights in f16, log, chart, what came out and how it goes on', async () => {
  const target = join(scratch, 'package');
  const run = join(scratch, 'shakespeare');
  make('shakespeare', data, run, target);
  const model = join(target, 'shakespeare-mamba');
  expect((await readdir(model)).sort()).toEqual([
    'config.json',
    'model.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
  ]);
  const stored = mamba('show', model);
  expect(stored.dtypes).toHaveProperty('f16');
  const read = (file: string): Promise<string> => readFile(join(target, 'training', file), 'utf8');
  expect(await read('log.jsonl')).toBe(await readFile(join(run, 'log.jsonl'), 'utf8'));
  expect(await read('loss.svg')).toMatch(/^<svg .*<circle .*<\/svg>\n$/s);
  const result = JSON.parse(await read('result.json'));
  const [{ val_loss }] = [JSON.parse(await read('log.jsonl'))];
  expect(result).toMatchObject({ steps: 1, tokens: 32, params: 2_890_496, val_loss });
  // What rounding to f16 costs.
  expect(Math.abs(result.as_stored.nats_per_token - val_loss)).toBeLessThanOrEqual(1e-3);
  const { prompt, ids, text } = JSON.parse(await read('greedy.json'));
  const again = mamba('run', prompt, '--model', model, '--temperature', '0', '--max-tokens', '12');
  expect([again.ids, again.text]).toEqual([ids, text]);
}, 120_000);
