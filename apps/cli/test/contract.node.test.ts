import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cli, greedy, greedyText, interrupted, json, mamba } from './mamba.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

const run = (...args: string[]): Promise<Record<string, unknown>> =>
  json(['run', 'ROMEO:', '--max-tokens', '12', ...args]);

describe('mamba run --json', () => {
  test('each field says what it should', async () => {
    const result = await run('--temperature', '0', '--seed', '77');
    expect(result).toMatchObject({
      model: 'shakespeare-mamba',
      prompt: 'ROMEO:',
      tokens: 12,
      ids: greedy,
      stop_reason: 'length',
      seed: 77,
      prefill_tokens: 2,
      decode_tokens: 11,
      backend: expect.stringMatching(/^wasm-(simd|relaxed)$/),
      threads: expect.any(Number),
    });
    // One per core, of which two may share what the system counts.
    expect(result.threads).toBeGreaterThanOrEqual(Math.floor(availableParallelism() / 2) || 1);
    // The generated part only, and it is what the ids say.
    const whole = (await json(['tokenize', `ROMEO:${result.text as string}`])).ids as number[];
    expect(whole.slice(2)).toEqual(greedy);
    for (const key of ['load_ms', 'prefill_tok_s', 'decode_tok_s']) expect(result[key], key).toBeGreaterThan(0);
    expect(result.load_ms).toBeLessThan(60_000);
  });

  test('with --max-tokens 0 reads the prompt and generates nothing', async () => {
    const result = await json(['run', 'ROMEO:', '--max-tokens', '0']);
    expect(result).toMatchObject({
      text: '',
      tokens: 0,
      ids: [],
      prefill_tokens: 2,
      decode_tokens: 0,
      decode_tok_s: 0,
    });
  });

  test('reports a seed that gives the same text again, where none was given', async () => {
    const first = await run();
    expect(Number.isSafeInteger(first.seed)).toBe(true);
    expect((await run('--seed', String(first.seed))).ids).toEqual(first.ids);
  });

  test('each sampling option acts: those that leave one candidate are greedy', async () => {
    for (const option of [
      ['--top-k', '1'],
      ['--top-p', '0'],
      ['--min-p', '1'],
    ]) {
      expect((await run('--temperature', '3', '--seed', '1', ...option)).ids, option.join(' ')).toEqual(greedy);
    }
    expect((await run('--temperature', '3', '--seed', '1')).ids).not.toEqual(greedy);
    const longer = ['--temperature', '0', '--max-tokens', '60'];
    expect((await run(...longer, '--repetition-penalty', '9')).ids).not.toEqual((await run(...longer)).ids);
  });

  test('stop_reason is stop with the first of several stop strings, and eos at the model s own end', async () => {
    const [early, late] = [greedyText.slice(2, 5), greedyText.slice(8, 13)];
    const stopped = await run('--temperature', '0', '--stop', late, '--stop', early);
    expect(stopped).toMatchObject({ stop_reason: 'stop', text: greedyText.slice(0, greedyText.indexOf(early)) });
    const ending = join(folder, 'ending');
    await cp(fileURLToPath(modelUrl), ending, { recursive: true });
    const config = JSON.parse(await readFile(join(ending, 'config.json'), 'utf8'));
    await writeFile(join(ending, 'config.json'), JSON.stringify({ ...config, eos_token_id: greedy[3] }));
    await rm(join(ending, 'generation_config.json'), { force: true });
    const ended = await run('--model', ending, '--temperature', '0');
    expect(ended).toMatchObject({ model: 'ending', stop_reason: 'eos', ids: greedy.slice(0, 3), tokens: 3 });
  });
});

describe('mamba score --json', () => {
  test('each field says what it should', async () => {
    const text = 'Vor der Tür: naïve 🐍.\n';
    const file = join(folder, 'text.txt');
    await writeFile(file, text);
    const tokens = ((await json(['tokenize', text])).ids as number[]).length;
    const result = await json(['score', '--text', file]);
    const nats = result.nats as number;
    expect(result).toMatchObject({ model: 'shakespeare-mamba', tokens, scored: tokens - 1 });
    expect(nats).toBeGreaterThan(0);
    expect(result.nats_per_token).toBeCloseTo(nats / (tokens - 1), 12);
    expect(result.perplexity).toBeCloseTo(Math.exp(nats / (tokens - 1)), 6);
    expect(result.bits_per_byte).toBeCloseTo(nats / Math.LN2 / new TextEncoder().encode(text).length, 12);
    const windowed = await json(['score', '--text', file, '--window', '2']);
    expect(windowed.scored).toBe(tokens - 1);
    expect(windowed.nats).not.toBeCloseTo(nats, 3);
  });

  test('one token: nothing is scored, and what is undefined is null', async () => {
    const file = join(folder, 'one.json');
    await writeFile(file, '[41]');
    const result = await json(['score', '--ids', file]);
    expect(result).toMatchObject({ tokens: 1, scored: 0, nats: 0, nats_per_token: null, perplexity: null });
  });
});

describe('mamba quality --json', () => {
  const embedded = fileURLToPath(modelUrl);

  test('a model beside itself: the nats of score within 1e-9, no divergence', async () => {
    const file = join(folder, 'quality.txt');
    await writeFile(file, 'JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\n');
    const result = await json(['quality', embedded, embedded, '--text', file, '--window', '7', '--max-tokens', '12']);
    const ids = (await json(['tokenize'], await readFile(file, 'utf8'))).ids as number[];
    const idsFile = join(folder, 'quality.json');
    await writeFile(idsFile, JSON.stringify(ids.slice(0, 12)));
    const scored = await json(['score', '--ids', idsFile, '--window', '7']);
    const shown = (await json(['show'])) as { files: { size: number }[] };
    const models = result.models as { nats_per_token: number }[];
    expect(result).toMatchObject({ tokens: 12, scored: 11 });
    expect(models).toHaveLength(2);
    for (const model of models) {
      expect(model).toMatchObject({
        name: embedded,
        file_bytes: shown.files.reduce((sum, { size }) => sum + size, 0),
        kl_mean: 0,
        kl_p999: 0,
        top1_equal: 1,
      });
      expect(model.nats_per_token).toBeCloseTo(scored.nats_per_token as number, 9);
    }
  });

  test('--sensitivity: every matrix alone, the most sensitive first', async () => {
    const file = join(folder, 'quality.txt');
    await writeFile(file, 'JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?\n'.repeat(3));
    const args = ['quality', embedded, '--text', file, '--sensitivity', '--dtype', 'q4_0', '--max-tokens', '40'];
    const { model, dtype, scored, tensors } = await json(args);
    expect([model, dtype, scored]).toEqual([embedded, 'q4_0', 39]);
    const ranked = tensors as { tensor: string; kl_mean: number; bytes_saved: number }[];
    // Three matrices of each of six layers have rows of whole blocks, and the embedding.
    expect(ranked).toHaveLength(19);
    expect(ranked.map(({ kl_mean }) => kl_mean)).toEqual(ranked.map(({ kl_mean }) => kl_mean).sort((a, b) => b - a));
    expect(ranked.at(-1)!.kl_mean).toBeGreaterThan(0);
    const embedding = ranked.find(({ tensor }) => tensor === 'backbone.embeddings.weight');
    expect(embedding).toMatchObject({ parameters: 262_144, bytes_saved: 262_144 * 2 - (262_144 / 32) * 18 });
    expect((await mamba(['quality', embedded, embedded, '--text', file, '--sensitivity'])).code).toBe(2);
  });

  test('tokenizers that split the text differently are refused', async () => {
    const file = join(folder, 'quality.txt');
    await writeFile(file, 'Romeo, Romeo');
    const other = join(folder, 'other');
    await cp(embedded, other, { recursive: true });
    const tokenizer = JSON.parse(await readFile(join(other, 'tokenizer.json'), 'utf8'));
    tokenizer.model.merges = [];
    await writeFile(join(other, 'tokenizer.json'), JSON.stringify(tokenizer));
    const { code, stdout, stderr } = await mamba(['quality', embedded, other, '--text', file, '--json']);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('split the text differently');
  });
});

test('mamba tokenize --json: model, text, ids and tokens; the text may come from stdin', async () => {
  const result = await json(['tokenize', 'ROMEO: é']);
  expect(result).toEqual({
    model: 'shakespeare-mamba',
    text: 'ROMEO: é',
    ids: [814, 26, 221, 128, 103],
    tokens: ['ROMEO', ':', 'Ġ', 'Ã', '©'],
  });
  expect(await json(['tokenize'], 'ROMEO: é')).toEqual(result);
  expect((await mamba(['tokenize', 'ROMEO:'])).stdout).toBe('814 26\n');
});

test('mamba show --json: architecture, parameters, dtypes, state bytes, files, memory needed', async () => {
  const path = fileURLToPath(modelUrl);
  const result = await json(['show', path]);
  expect(Object.keys(result)).toEqual([
    'model',
    'architecture',
    'parameters',
    'vocab_size',
    'dtypes',
    'decoded',
    'state_bytes',
    'state_bytes_per_token',
    'files',
    'memory_needed',
  ]);
  const dtypes = result.dtypes as Record<string, { tensors: number; bytes: number }>;
  expect(Object.keys(dtypes).sort()).toEqual(['f16', 'f32']);
  expect(dtypes.f16!.bytes / 2 + dtypes.f32!.bytes / 4).toBe(result.parameters);
  expect(result.memory_needed).toBe(dtypes.f16!.bytes + dtypes.f32!.bytes + (result.state_bytes as number));
  const files = result.files as { name: string; size: number }[];
  expect(files.map(({ name }) => name)).toContain('model.safetensors');
  for (const { name, size } of files) expect((await stat(join(path, name))).size, name).toBe(size);
});

test('mamba bench --json: median, min and max of each figure, the limits and what is reached of them', async () => {
  const result = await json(['bench', '--prompt-tokens', '8', '--gen-tokens', '4', '--repeat', '2']);
  for (const key of ['load_ms', 'prefill_tok_s', 'decode_tok_s', 'peak_mb']) {
    const { median, min, max } = result[key] as Record<string, number>;
    expect(min, key).toBeGreaterThan(0);
    expect(median, key).toBeGreaterThanOrEqual(min!);
    expect(max, key).toBeGreaterThanOrEqual(median!);
  }
  const { limits } = result as { limits: Record<string, number> };
  expect(Object.keys(limits)).toEqual(['read_gb_s', 'f32_gflop_s', 'dot_gop_s']);
  for (const value of [...Object.values(limits), result.ratio_decode, result.ratio_prefill]) {
    expect(value).toBeGreaterThan(0);
  }
});

describe('exit codes', () => {
  test.each([
    ['an unknown command', ['nonsense']],
    ['an unknown option', ['run', '--bogus']],
    ['an option without its value', ['run', '--seed']],
    ['too many arguments', ['run', 'a', 'b']],
    ['a word as temperature', ['run', '--temperature', 'hot']],
    ['a negative temperature', ['run', '--temperature=-1']],
    ['an infinite temperature', ['run', '--temperature', 'Infinity']],
    ['half a token', ['run', '--max-tokens', '1.5']],
    ['a probability above 1', ['run', '--top-p', '2']],
    ['a negative one', ['run', '--min-p=-0.1']],
    ['a negative top-k', ['run', '--top-k=-1']],
    ['no penalty at all', ['run', '--repetition-penalty', '0']],
    ['a seed past 2^53', ['run', '--seed', '9007199254740992']],
    ['an empty number', ['run', '--seed', '']],
    ['an empty stop string', ['run', 'x', '--stop', '']],
    ['an unknown backend', ['run', '--backend', 'gpu']],
    ['nothing to score', ['score']],
    ['two things to score', ['score', '--text', 'a', '--ids', 'b']],
    ['an empty window', ['score', '--text', 'a', '--window', '0']],
    ['a model and none', ['bench', '--model', 'a', '--random', 'mamba-130m']],
    ['an unknown dtype', ['bench', '--random', 'mamba-130m', '--dtype', 'i8']],
  ])('2 for a wrong call: %s', async (_, args) => {
    for (const more of [[], ['--json']]) {
      const { code, stdout, stderr } = await mamba([...args, ...more]);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).not.toBe('');
      expect(stderr, 'a wrong call is no crash').not.toMatch(/\n\s+at /);
    }
  });

  test('1 for what fails, with the reason on stderr and nothing on stdout', async () => {
    const write = async (name: string, content: string | Uint8Array): Promise<string> => {
      await writeFile(join(folder, name), content);
      return join(folder, name);
    };
    const cases: [args: string[], reason: RegExp][] = [
      [['run', 'x', '--model', join(folder, 'nothing')], /does not exist/],
      [['show', join(folder, 'nothing')], /does not exist/],
      [['score', '--text', join(folder, 'nothing')], /cannot be read/],
      [['score', '--text', await write('latin1.txt', Uint8Array.of(0x66, 0xfc, 0x72))], /is not UTF-8/],
      [['score', '--text', await write('empty.txt', '')], /no tokens to score/],
      [['score', '--ids', await write('ids.txt', 'three')], /is not JSON/],
      [['score', '--ids', await write('ids-2.json', '{"ids":[1]}')], /must hold a JSON array of token ids/],
      [['score', '--ids', await write('ids-3.json', '[1,1024]')], /ids\[1\] must be a token id from 0 to 1023/],
    ];
    for (const [args, reason] of cases) {
      for (const more of [[], ['--json']]) {
        const { code, stdout, stderr } = await mamba([...args, ...more]);
        expect([args, code, stdout]).toEqual([args, 1, '']);
        expect(stderr).toMatch(reason);
        expect(stderr, 'an expected failure is no crash').not.toMatch(/\n\s+at /);
      }
    }
  });

  test('0 for --help and --version, of the program and of each command', async () => {
    expect((await mamba(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    for (const args of [[], ['run'], ['score'], ['bench'], ['tokenize'], ['show']]) {
      const { code, stdout, stderr } = await mamba([...args, '--help']);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout).toMatch(/^Usage: mamba/);
    }
    expect((await mamba([])).stdout).toMatch(/^Usage: mamba/);
  });

  const firstOutput = (stdout: NodeJS.ReadableStream): Promise<unknown> =>
    new Promise((resolve) => stdout.once('data', resolve));
  const started = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 1500));

  test('130 after Ctrl-C, within 2 s: while text appears, with --json, while scoring', async () => {
    const long = ['run', 'ROMEO:', '--max-tokens', '1000000'];
    const text = await interrupted(long, firstOutput);
    expect([text.code, text.stderr]).toEqual([130, '']);
    expect(text.stdout.startsWith('ROMEO:')).toBe(true);
    const silent = await interrupted([...long, '--json'], started);
    expect([silent.code, silent.stdout, silent.stderr]).toEqual([130, '', '']);
    const file = join(folder, 'long.txt');
    await writeFile(file, 'All the world is a stage.\n'.repeat(20_000));
    const score = await interrupted(['score', '--text', file, '--json'], started);
    expect([score.code, score.stdout, score.stderr]).toEqual([130, '', '']);
    for (const { ms } of [text, silent, score]) expect(ms).toBeLessThan(2000);
  });

  test('130 after SIGTERM too', async () => {
    const { code } = await interrupted(['run', 'ROMEO:', '--max-tokens', '1000000'], firstOutput, 'SIGTERM');
    expect(code).toBe(130);
  });
});

describe('NO_COLOR', () => {
  // util-linux's `script` lends a terminal; elsewhere its options differ.
  const here = process.platform === 'linux' && existsSync('/usr/bin/script');
  if (!here) console.warn('SKIPPED: no terminal to lend, NO_COLOR is not checked');
  const onTerminal = (environment: Record<string, string>): Promise<string> =>
    new Promise((resolve) => {
      const command = `'${process.execPath}' '${cli}' show '${join(folder, 'nothing')}'`;
      const { NO_COLOR: _, FORCE_COLOR: __, CI: ___, ...inherited } = process.env;
      const env = { ...inherited, TERM: 'xterm-256color', ...environment };
      execFile('/usr/bin/script', ['-qec', command, '/dev/null'], { env }, (_, stdout) => resolve(stdout));
    });

  test.skipIf(!here)('on a terminal the name of the program is red, and nothing is with NO_COLOR', async () => {
    expect(await onTerminal({})).toContain('\x1b[31mmamba:');
    const plain = await onTerminal({ NO_COLOR: '1' });
    expect(plain).toContain('mamba: ');
    expect(plain).not.toContain('\x1b[');
  });

  test('where stderr is no terminal nothing is coloured', async () => {
    const { stderr } = await mamba(['show', join(folder, 'nothing')]);
    expect(stderr).toMatch(/^mamba: /);
    expect(stderr).not.toContain('\x1b');
  });
});

test('mamba --help takes under 150 ms, the best of ten starts', async () => {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    const started = performance.now();
    await mamba(['--help']);
    best = Math.min(best, performance.now() - started);
  }
  expect(best).toBeLessThan(150);
});
