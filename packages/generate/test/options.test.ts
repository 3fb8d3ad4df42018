import { describe, expect, test } from 'vitest';
import {
  createSampler,
  type GenerateOptions,
  generate,
  generateText,
  type SamplerOptions,
  score,
  TokenHistory,
} from '../src/index.ts';
import { fakeModel } from './fake-model.ts';
import { errorOf } from './helpers.ts';

const { NaN: nan, NEGATIVE_INFINITY: never, POSITIVE_INFINITY: infinity } = Number;
const silent = { push: () => '', flush: () => '' };

/** Each option with values that are refused, and the words that say what was expected. */
const refused: [option: string, expected: string, values: unknown[]][] = [
  ['temperature', 'a finite number of at least 0', [-0.1, nan, infinity, '1', null, 1n]],
  ['topK', 'an integer from 0 to 2^53 - 1', [-1, 1.5, nan, infinity, 2 ** 53, '3', null]],
  ['topP', 'a finite number from 0 to 1', [-0.01, 1.01, nan, '0.5', null]],
  ['minP', 'a finite number from 0 to 1', [-0.01, 1.01, nan, '0.5', null]],
  ['repetitionPenalty', 'a finite number of at least', [0, -1, nan, infinity, '1', null]],
  ['frequencyPenalty', 'a finite number from -2 to 2', [-2.01, 2.01, nan, '1', null]],
  ['presencePenalty', 'a finite number from -2 to 2', [-2.01, 2.01, nan, '1', null]],
  ['seed', 'an integer from 0 to 2^53 - 1', [-1, 0.5, nan, 2 ** 53, '1', 1n, null]],
];

/** Values at the ends of what is allowed. */
const allowed: SamplerOptions[] = [
  { temperature: 0 },
  { temperature: Number.MAX_VALUE },
  { topK: 0 },
  { topK: Number.MAX_SAFE_INTEGER },
  { topP: 0 },
  { topP: 1 },
  { minP: 0 },
  { minP: 1 },
  { repetitionPenalty: Number.MIN_VALUE },
  { repetitionPenalty: Number.MAX_VALUE },
  { frequencyPenalty: -2 },
  { frequencyPenalty: 2 },
  { presencePenalty: -2 },
  { presencePenalty: 2 },
  { seed: 0 },
  { seed: Number.MAX_SAFE_INTEGER },
  { logitBias: {} },
  { logitBias: { 0: never, 22: -1e300 } },
];

/** Every way to pass a sampler's options. */
const takers: [name: string, take: (options: object) => unknown][] = [
  ['createSampler', (options) => createSampler(options, 23)],
  ['generate', (options) => generate(fakeModel(), [1], options)],
  ['generateText', (options) => generateText(fakeModel(), [1], silent, options)],
];

describe.each(takers)('%s', (_, take) => {
  test.each(refused)('refuses a wrong %s with INVALID_OPTION: %s', async (option, expected, values) => {
    for (const value of values) {
      const error = await errorOf(() => take({ [option]: value }));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toContain(`${option} must be ${expected}`);
      expect(error.message).toMatch(/; correct it, or leave it out for the default$/);
      expect(error.details).toMatchObject({ option, value });
      expect(error.details.expected).toContain(expected);
    }
  });

  test('takes the ends of each range, and undefined for the default', () => {
    for (const options of allowed) take(options);
    for (const [option] of refused) take({ [option]: undefined });
    take({ logitBias: undefined });
  });

  test.each([
    ['an array', [1], 'logitBias must be a plain object'],
    ['a Map', new Map([[1, 1]]), 'logitBias must be a plain object'],
    ['null', null, 'logitBias must be a plain object'],
    ['a number', 5, 'logitBias must be a plain object'],
    ['an id past the vocabulary', { 23: 1 }, 'keyed by token ids from 0 to 22, but is "23"'],
    ['a negative id', { '-1': 1 }, 'keyed by token ids'],
    ['a fraction as id', { '1.5': 1 }, 'keyed by token ids'],
    ['a word as id', { the: 1 }, 'keyed by token ids'],
    ['an id spelled otherwise', { '01': 1 }, 'keyed by token ids'],
    ['an empty id', { '': 1 }, 'keyed by token ids'],
    ['NaN as bias', { 3: nan }, 'logitBias[3] must be a finite number or -Infinity, but is NaN'],
    ['+Infinity as bias', { 3: infinity }, 'logitBias[3] must be'],
    ['a text as bias', { 3: '1' }, 'logitBias[3] must be'],
  ])('refuses as logitBias %s', async (_, logitBias, message) => {
    const error = await errorOf(() => take({ logitBias }));
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain(message);
    expect(error.details.option).toMatch(/^logitBias/);
  });

  test('refuses a misspelt option with UNKNOWN_OPTION, naming those it has', async () => {
    const error = await errorOf(() => take({ temprature: 1 }));
    expect(error.code).toBe('UNKNOWN_OPTION');
    expect(error.message).toContain('has no option "temprature"; it has temperature, topK,');
    expect(error.details.option).toBe('temprature');
    expect(error.details.known).toContain('seed');
  });

  test.each([null, [], 'greedy', 3])('refuses %j in the place of options', async (options) => {
    const error = await errorOf(() => take(options as object));
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toMatch(/^the options of [\w ]+ must be an object, but is/);
  });
});

test('messages show long and odd values shortly', async () => {
  const message = async (value: unknown): Promise<string> =>
    (await errorOf(() => createSampler({ seed: value as number }, 3))).message;
  expect(await message('x'.repeat(41))).toContain(`but is "${'x'.repeat(40)}…";`);
  expect(await message('x'.repeat(40))).toContain(`but is "${'x'.repeat(40)}";`);
  expect(await message({})).toContain('but is [object Object];');
  expect(await message([])).toContain('but is [object Array];');
  expect(await message(null)).toContain('but is null;');
  expect(await message(Symbol('s'))).toContain('but is Symbol(s);');
  expect(await message(() => 1)).toContain('but is () => 1;');
});

describe('options of generate', () => {
  const take = (options: object, prompt: unknown = [1]): unknown =>
    generate(fakeModel(), prompt as number[], options as GenerateOptions);

  test.each([
    ['maxTokens', 'an integer from 0 to 2^53 - 1', [-1, 0.5, '3', null]],
    ['prefillChunk', 'an integer from 1 to 2^53 - 1', [0, -1, 0.5, '3', null]],
    ['ignoreEos', 'true or false', [0, 'yes', null]],
    ['stopWhen', 'a function', [true, null]],
    ['onProgress', 'a function', [true, null]],
    ['now', 'a function', [0, null]],
    ['signal', 'an AbortSignal', [{}, true, null, new AbortController()]],
    ['processors', 'a list of functions', [() => 1, 'p', { length: 0 }]],
    ['processors[0]', 'a function', [[3], [null], [undefined]]],
    ['stopIds', 'an array of token ids', [3, 'ab', new Set([1]), { length: 1, 0: 1 }]],
    ['the options of prior', 'an object', [3, [1]]],
  ])('refuses a wrong %s: %s', async (option, expected, values) => {
    const key = option.replace('the options of ', '').replace('[0]', '');
    for (const value of values) {
      const error = await errorOf(() => take({ [key]: value }));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toContain(`${option} must be ${expected}, but is`);
      expect(error.details.option).toBe(option);
    }
  });

  test('takes undefined for each', () => {
    for (const key of 'maxTokens prefillChunk ignoreEos stopWhen onProgress now signal processors stopIds prior bosId state'.split(
      ' ',
    )) {
      take({ [key]: undefined });
    }
  });

  test('refuses unknown keys of prior', async () => {
    const error = await errorOf(() => take({ prior: { ids: [1] } }));
    expect([error.code, error.message]).toEqual([
      'UNKNOWN_OPTION',
      'prior has no option "ids"; it has prompt, generated',
    ]);
  });

  test.each([
    ['the prompt', (ids: unknown) => take({}, ids)],
    ['stopIds', (stopIds: unknown) => take({ stopIds })],
    ['prior.prompt', (prompt: unknown) => take({ prior: { prompt } })],
    ['prior.generated', (generated: unknown) => take({ prior: { generated } })],
  ])('refuses ids in %s that are none with TOKEN_ID', async (what, takeIds) => {
    for (const id of [-1, 23, 1.5, nan, '3', null, undefined, 2 ** 32]) {
      const error = await errorOf(() => takeIds([0, 22, id]));
      expect(error.code).toBe('TOKEN_ID');
      expect(error.message).toContain(`${what}[2] must be a token id from 0 to 22`);
      expect(error.message).toContain('tokenizer of another model?');
      expect(error.details).toEqual({ index: 2, id, vocabSize: 23 });
    }
    expect((await errorOf(() => takeIds(BigInt64Array.of(1n)))).code).toBe('TOKEN_ID');
    const view = await errorOf(() => takeIds(new DataView(new ArrayBuffer(8))));
    expect([view.code, view.details.option]).toEqual(['INVALID_OPTION', what]);
    for (const ids of [[0, 22], Int32Array.of(22), Uint8Array.of(22), Float64Array.of(22)]) takeIds(ids);
  });

  test('refuses a bosId outside the vocabulary where it is needed', async () => {
    const error = await errorOf(() => take({ bosId: 23 }, []));
    expect([error.code, error.details.id]).toEqual(['TOKEN_ID', 23]);
    expect(error.message).toContain('bosId[0]');
  });

  test('refuses an empty prompt where the model names no id for it: EMPTY_PROMPT', async () => {
    const error = await errorOf(() => take({}, []));
    expect(error.code).toBe('EMPTY_PROMPT');
    expect(error.message).toContain('`bosId`');
  });

  test('the ids are copied at once: changing them later changes nothing', async () => {
    const model = fakeModel();
    const ids = [1, 2, 3];
    const tokens = generate(model, ids, { maxTokens: 1 });
    ids[1] = 9;
    await tokens.next();
    expect(model.calls[0]).toEqual([1, 2, 3]);
  });
});

test('generateText takes stop, generate does not', async () => {
  generateText(fakeModel(), [1], silent, { stop: ['a'] });
  expect((await errorOf(() => generate(fakeModel(), [1], { stop: ['a'] } as never))).code).toBe('UNKNOWN_OPTION');
  expect((await errorOf(() => generateText(fakeModel(), [1], silent, { stop: [''] }))).code).toBe('INVALID_OPTION');
});

describe('options of score', () => {
  test.each([
    ['window', 'an integer from 1 to 2^53 - 1', [0, -1, 1.5, '8', null]],
    ['onLogits', 'a function', [true, null]],
    ['onProgress', 'a function', [true, null]],
    ['signal', 'an AbortSignal', [{}, null]],
  ])('refuses a wrong %s: %s', async (option, expected, values) => {
    for (const value of values) {
      const model = fakeModel();
      const error = await errorOf(() => score(model, [1, 2], { [option]: value }));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toContain(`${option} must be ${expected}, but is`);
      expect(model.calls).toEqual([]);
    }
  });

  test('refuses unknown options, ids that are none, and nothing', async () => {
    const unknown = await errorOf(() => score(fakeModel(), [1], { windows: 2 } as never));
    expect(unknown.message).toBe('score has no option "windows"; it has window, onLogits, onToken, signal, onProgress');
    const id = await errorOf(() => score(fakeModel(), [1, 23]));
    expect([id.code, id.details.index]).toEqual(['TOKEN_ID', 1]);
    expect(id.message).toContain('ids[1] must be');
    const empty = await errorOf(() => score(fakeModel(), []));
    expect([empty.code, empty.message]).toEqual(['EMPTY_PROMPT', 'there are no tokens to score; give at least one']);
  });
});

test('defaults are neutral: a sampler without options is greedy over all ids', () => {
  const sampler = createSampler({ temperature: 1 }, 4);
  const history = new TokenHistory(4);
  history.addGenerated(2);
  const { ids, probabilities } = sampler.distribution(Float32Array.of(0, 0, 0, 0), history);
  expect([[...ids], [...probabilities]]).toEqual([
    [0, 1, 2, 3],
    [0.25, 0.25, 0.25, 0.25],
  ]);
});
