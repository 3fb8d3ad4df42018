import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { createSampler, philoxRandom, type SamplerOptions, TokenHistory } from '../src/index.ts';
import { errorOf, randomNumbers, roughLogits } from './helpers.ts';

const REMAKE = 'fixtures are made by: .venv/bin/python fixtures/sampler.py';

interface Case {
  readonly options: SamplerOptions;
  readonly logits: readonly number[];
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
  readonly ids: readonly number[];
  readonly probabilities: readonly number[];
}

function historyOf(vocabSize: number, prompt: readonly number[] = [], generated: readonly number[] = []): TokenHistory {
  const history = new TokenHistory(vocabSize);
  history.addPrompt(prompt);
  for (const id of generated) history.addGenerated(id);
  return history;
}

const { NEGATIVE_INFINITY: NEVER, POSITIVE_INFINITY: ALWAYS } = Number;

test('29 distributions equal those of transformers: the same ids, probabilities within 2e-5 relative', async () => {
  const cases = JSON.parse(new TextDecoder().decode(await loadFixture('sampler.json'))) as Case[];
  expect(cases.length).toBe(29);
  for (const { options, logits, prompt, generated, ids, probabilities } of cases) {
    const name = `${JSON.stringify(options)}; ${REMAKE}`;
    const sampler = createSampler(options, logits.length);
    const ours = sampler.distribution(Float32Array.from(logits), historyOf(logits.length, prompt, generated));
    expect([...ours.ids], name).toEqual(ids);
    // transformers divides and adds in f32, we in f64; a probability far down feels an error of its logit as a factor.
    const worst = Math.max(...probabilities.map((p, i) => Math.abs(ours.probabilities[i]! / p - 1)));
    expect(worst, name).toBeLessThan(2e-5);
  }
});

describe('greedy', () => {
  test('takes the greatest logit, of equals the lowest id, with no option given and with temperature 0', () => {
    for (const options of [{}, { temperature: 0 }, { temperature: 0, topK: 2, topP: 0.1, minP: 0.9, seed: 9 }]) {
      const sampler = createSampler(options, 5);
      expect(sampler.sample(Float32Array.of(1, 3, 2, 3, 0), historyOf(5))).toBe(1);
      expect(sampler.sample(Float32Array.of(NEVER, NEVER, NEVER, NEVER, -9), historyOf(5))).toBe(4);
      const { ids, probabilities } = sampler.distribution(Float32Array.of(1, 3, 2, 4, 0), historyOf(5));
      expect([[...ids], [...probabilities]]).toEqual([[3], [1]]);
    }
  });

  test('after biases, penalties and processors', () => {
    const logits = Float32Array.of(1, 3, 2.5);
    const pick = (options: SamplerOptions, history = historyOf(3)): number =>
      createSampler(options, 3).sample(logits, history);
    expect(pick({ logitBias: { 0: 2.5 } })).toBe(0);
    expect(pick({ logitBias: { 1: NEVER } })).toBe(2);
    expect(pick({ repetitionPenalty: 1.3 }, historyOf(3, [1]))).toBe(2);
    expect(pick({ presencePenalty: 0.75 }, historyOf(3, [], [1]))).toBe(2);
    expect(pick({ presencePenalty: 0.75 }, historyOf(3, [1]))).toBe(1);
    expect(pick({ frequencyPenalty: 0.3 }, historyOf(3, [], [1]))).toBe(1);
    expect(pick({ frequencyPenalty: 0.3 }, historyOf(3, [], [1, 1]))).toBe(2);
    const swap = createSampler({}, 3, {
      processors: [(row) => row.reverse(), (row, { generated }) => (row[1]! += generated)],
    });
    expect(swap.sample(Float32Array.of(1, 0, 0), historyOf(3))).toBe(2);
    expect(swap.sample(Float32Array.of(1, 0, 0), historyOf(3, [], [0, 0]))).toBe(1);
  });
});

test('own processors run after the built-in ones, in their order', () => {
  const seen: number[][] = [];
  const sampler = createSampler(
    { temperature: 1, logitBias: { 1: 1 }, repetitionPenalty: 2, presencePenalty: 0.5 },
    2,
    {
      processors: [
        (row) => {
          seen.push([...row]);
          row[0] = 7;
        },
        (row) => seen.push([...row]),
      ],
    },
  );
  sampler.sample(Float32Array.of(-1, 1), historyOf(2, [0], [1]));
  expect(seen).toEqual([
    [-2, 0.5],
    [7, 0.5],
  ]);
});

describe('a draw', () => {
  /** The id drawn at a given point of [0, 1). */
  const at = (uniform: number, logits: Float32Array, options: SamplerOptions = {}): number =>
    createSampler({ temperature: 1, ...options }, logits.length, { random: () => uniform }).sample(
      logits,
      historyOf(logits.length),
    );

  test('divides [0, 1) among the ids in their order', () => {
    // Weights 1, 1/2, 1/2 of the whole 2.
    const logits = Float32Array.of(0, -Math.LN2, NEVER, -Math.LN2);
    expect([0, 0.25, 0.4999].map((u) => at(u, logits))).toEqual([0, 0, 0]);
    expect([0.50001, 0.6, 0.7499].map((u) => at(u, logits))).toEqual([1, 1, 1]);
    expect([0.75001, 0.9, 1 - 2 ** -53].map((u) => at(u, logits))).toEqual([3, 3, 3]);
  });

  test('at a border goes to the id above it, and never to one of weight 0', () => {
    const logits = Float32Array.of(0, 0);
    expect([at(0.5 - 2 ** -53, logits), at(0.5, logits)]).toEqual([0, 1]);
    const faint = Float32Array.of(-800, 0, -800);
    expect([at(0, faint), at(1 - 2 ** -53, faint)]).toEqual([1, 1]);
    // A random number that reaches 1 is against its contract; it leads to no token of weight 0 either.
    expect(at(1, faint)).toBe(1);
  });

  test('has the index of the token: a resumed generation draws as an uninterrupted one', () => {
    const sampler = createSampler({ temperature: 1, seed: 5 }, 16);
    const logits = new Float32Array(16);
    const all = Array.from({ length: 20 }, (_, i) => sampler.sample(logits, historyOf(16, [3], Array(i).fill(1))));
    expect(all).toEqual(Array.from({ length: 20 }, (_, i) => Math.floor(philoxRandom(5)(i) * 16)));
    expect(new Set(all).size).toBeGreaterThan(5);
  });

  test('follows the seed: 0 by default, up to 2^53 - 1', () => {
    const logits = new Float32Array(1000);
    const text = (options: SamplerOptions): string => {
      const sampler = createSampler({ temperature: 1, ...options }, 1000);
      return [0, 1, 2].map((i) => sampler.sample(logits, historyOf(1000, [], Array(i).fill(0)))).join();
    };
    expect(text({})).toBe(text({ seed: 0 }));
    const seeds = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    expect(new Set(seeds.map((seed) => text({ seed }))).size).toBe(seeds.length);
  });

  test('gives each id as often as the distribution says: chi-square below the 99.99 % point for 40,000 draws', () => {
    const options = { temperature: 0.9, topK: 6, topP: 0.97, minP: 0.02, seed: 3 };
    const logits = Float32Array.of(2, 1.5, -1, 1.2, 0.3, 1.1, -3, 0.9, 0.1);
    const sampler = createSampler(options, logits.length);
    const { ids, probabilities } = sampler.distribution(logits, historyOf(9));
    const drawn = new Map<number, number>();
    const random = philoxRandom(3);
    for (let i = 0; i < 40_000; i++) {
      const id = at(random(i), logits, options);
      drawn.set(id, (drawn.get(id) ?? 0) + 1);
    }
    expect([...drawn.keys()].sort((a, b) => a - b)).toEqual([...ids]);
    let chiSquare = 0;
    ids.forEach((id, i) => {
      const expected = 40_000 * probabilities[i]!;
      chiSquare += (drawn.get(id)! - expected) ** 2 / expected;
    });
    expect(ids.length).toBe(6);
    expect(chiSquare).toBeLessThan(25.7); // 5 degrees of freedom
  });
});

test('every draw comes from the distribution, which sums to 1; logits stay as they are (400 random cases)', () => {
  const random = randomNumbers(1);
  for (let i = 0; i < 400; i++) {
    const size = 1 + Math.floor(random() * 40);
    const logits = roughLogits(random, size);
    const before = logits.slice();
    const options: SamplerOptions = {
      temperature: 0.1 + 2 * random(),
      topK: Math.floor(random() * size * 1.5),
      topP: random(),
      minP: random() < 0.5 ? 0 : random(),
      seed: i,
    };
    const sampler = createSampler(options, size);
    const { ids, probabilities } = sampler.distribution(logits, historyOf(size));
    const id = sampler.sample(logits, historyOf(size));
    expect(ids, JSON.stringify(options)).toContain(id);
    expect(ids.every((value, at) => at === 0 || value > ids[at - 1]!)).toBe(true);
    expect(Math.abs(probabilities.reduce((sum, p) => sum + p, 0) - 1)).toBeLessThan(1e-12);
    expect(logits).toEqual(before);
  }
});

test('a distribution is a copy: the next call leaves it as it is', () => {
  const sampler = createSampler({ temperature: 1 }, 3);
  const first = sampler.distribution(Float32Array.of(0, 0, NEVER), historyOf(3));
  sampler.distribution(Float32Array.of(NEVER, 5, 1), historyOf(3));
  expect([[...first.ids], [...first.probabilities]]).toEqual([
    [0, 1],
    [0.5, 0.5],
  ]);
});

test('extreme temperatures neither overflow nor mix in what is forbidden', () => {
  const logits = Float32Array.of(3e38, -3e38, NEVER, 2.9e38);
  expect([...createSampler({ temperature: 1e-300 }, 4).distribution(logits, historyOf(4)).probabilities]).toEqual([
    1, 0, 0,
  ]);
  const hot = createSampler({ temperature: Number.MAX_VALUE }, 4).distribution(logits, historyOf(4));
  expect([...hot.ids]).toEqual([0, 1, 3]);
  for (const p of hot.probabilities) expect(p).toBeCloseTo(1 / 3, 12);
});

describe('refuses', () => {
  test.each([
    ['NaN', [0, Number.NaN, 1], 1, 'NaN'],
    ['NaN before the greatest', [Number.NaN, 1, 2], 0, 'NaN'],
    ['+Infinity', [0, 1, ALWAYS], 2, 'Infinity'],
  ])('%s among the logits: LOGITS_NOT_FINITE, naming token and value', async (_, logits, id, value) => {
    for (const temperature of [0, 1]) {
      const sampler = createSampler({ temperature }, 3);
      const error = await errorOf(() => sampler.sample(Float32Array.from(logits), historyOf(3)));
      expect(error.code).toBe('LOGITS_NOT_FINITE');
      expect(error.message).toContain(`token ${id} is ${value}`);
      expect(error.details).toEqual({ id, logit: Number(value) });
      expect((await errorOf(() => sampler.distribution(Float32Array.from(logits), historyOf(3)))).code).toBe(
        'LOGITS_NOT_FINITE',
      );
    }
  });

  test('a penalty that overflows: LOGITS_NOT_FINITE', async () => {
    const sampler = createSampler({ repetitionPenalty: Number.MIN_VALUE }, 2);
    const error = await errorOf(() => sampler.sample(Float32Array.of(1, 2), historyOf(2, [0])));
    expect([error.code, error.details.id]).toEqual(['LOGITS_NOT_FINITE', 0]);
  });

  test('a vocabulary that is forbidden whole: NO_CANDIDATES', async () => {
    for (const temperature of [0, 1]) {
      const sampler = createSampler({ temperature, logitBias: { 0: NEVER, 1: NEVER } }, 2);
      const error = await errorOf(() => sampler.sample(Float32Array.of(1, 2), historyOf(2)));
      expect(error.code).toBe('NO_CANDIDATES');
      expect(error.message).toContain('all 2 tokens are forbidden');
    }
  });

  test('logits of another size: SHAPE', async () => {
    for (const size of [1, 3]) {
      const error = await errorOf(() => createSampler({}, 2).sample(new Float32Array(size), historyOf(2)));
      expect([error.code, error.message]).toEqual(['SHAPE', `${size} logits for a vocabulary of 2 tokens`]);
    }
  });
});

test('min-p narrows what top-p left, as in transformers, not the other way round', () => {
  const probabilities = [0.5, 0.3, 0.1, 0.06, 0.04];
  const logits = Float32Array.from(probabilities, Math.log);
  // Of 1, top-p 0.85 keeps 0.5 + 0.3 + 0.1; of the 0.9 that min-p keeps, it would be 0.5 + 0.3.
  const sampler = createSampler({ temperature: 1, topP: 0.85, minP: 0.15 }, logits.length);
  expect([...sampler.distribution(logits, new TokenHistory(logits.length)).ids]).toEqual([0, 1, 2]);
});
