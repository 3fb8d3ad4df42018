import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { json, mamba } from './mamba.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-task-'));
});
afterAll(() => rm(folder, { recursive: true }));

const SMALL = [
  '--length',
  '8',
  '--from',
  '8',
  '--batch',
  '8',
  '--width',
  '16',
  '--layers',
  '1',
  '--test-lengths',
  '16',
];

describe('mamba task', () => {
  test('parity: the fields of the report, the same for one thread and two, and a picture', async () => {
    const svg = join(folder, 'parity.svg');
    const args = ['task', 'parity', ...SMALL, '--models', 'lti,mamba2', '--steps', '12', '--seed', '7'];
    const one = await json([...args, '--threads', '1', '--svg', svg]);
    const timeless = ({ models, ...rest }: Record<string, unknown>) => ({
      ...rest,
      models: (models as Record<string, unknown>[]).map(({ seconds: _, ...model }) => model),
    });
    expect(one).toMatchObject({
      ...{ task: 'parity', length: 8, from: 8, batch: 8, width: 16, layers: 1, seed: 7, chance: 0.5 },
      models: ['lti', 'mamba2'].map((model) => ({
        model,
        steps: 12,
        by_length: [8, 16].map((length) => ({ length, sequences: 256 })),
      })),
    });
    for (const model of one.models as Record<string, unknown>[]) {
      expect(Object.keys(model)).toEqual(['model', 'params', 'steps', 'seconds', 'loss', 'accuracy', 'by_length']);
    }
    expect(timeless(await json([...args, '--threads', '2']))).toEqual(timeless(one));
    expect(await readFile(svg, 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);
  });

  test('selective copying for people: a table and a sentence on stdout, each model on stderr', async () => {
    const args = ['task', 'selective-copying', ...SMALL, '--models', 'mamba,lti', '--minutes', '0.001'];
    const { code, stdout, stderr } = await mamba(args);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(
      /^model +params +steps +seconds +loss +at 8 +at 16\nMamba-1 .*\nLTI .*\n\nRight answers at length 8: /,
    );
    expect(stdout).toMatch(/guessing gives 6\.3 %\. Selection makes -?\d+\.\d points/);
    expect(stderr).toMatch(/Mamba-1: .* right after \d+ steps, \d+ s\nLTI: /);
  });

  test.each([
    [['task', 'juggling'], /Allowed choices are selective-copying, induction-heads, parity/],
    [['task', 'parity', '--models', 'lti,s4'], /--models knows lti, mamba, mamba2, mamba3, transformer, found "s4"/],
    [['task', 'parity', '--steps', '5', '--minutes', '1'], /give either --steps N or --minutes N/],
    [['task', 'parity', '--width', '24'], /--width must be a multiple of 16, found 24/],
    [['task', 'parity', '--models', 'lti,lti'], /--models names "lti" twice/],
  ])('%j is a wrong call', async (args, message) => {
    const { code, stdout, stderr } = await mamba(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });
});
