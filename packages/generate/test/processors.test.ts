import { expect, test } from 'vitest';
import { countPenalties, logitBias, repetitionPenalty, TokenHistory } from '../src/index.ts';
import { randomNumbers } from './helpers.ts';

function historyOf(vocabSize: number, prompt: readonly number[], generated: readonly number[]): TokenHistory {
  const history = new TokenHistory(vocabSize);
  history.addPrompt(prompt);
  for (const id of generated) history.addGenerated(id);
  return history;
}

test('TokenHistory: distinct ids in order of appearance, counts of generated ids alone', () => {
  const history = historyOf(6, [4, 2, 4], [2, 5, 5]);
  history.addPrompt(Int32Array.of(0, 5));
  expect([...history.ids.subarray(0, history.distinct)]).toEqual([4, 2, 5, 0]);
  expect([...history.counts]).toEqual([0, 0, 1, 0, 0, 2]);
  expect([history.distinct, history.generated]).toEqual([4, 3]);
});

test('a new TokenHistory is empty', () => {
  const history = new TokenHistory(3);
  expect([history.distinct, history.generated, ...history.counts]).toEqual([0, 0, 0, 0, 0]);
});

test('logitBias adds, and forbids with -Infinity', () => {
  const logits = Float64Array.of(1, 2, 3);
  logitBias([
    [2, -0.5],
    [0, Number.NEGATIVE_INFINITY],
  ])(logits, new TokenHistory(3));
  expect([...logits]).toEqual([Number.NEGATIVE_INFINITY, 2, 2.5]);
});

test('repetitionPenalty divides what is positive and multiplies what is negative, once for each id', () => {
  const logits = Float64Array.of(2, -2, 0, 3, Number.NEGATIVE_INFINITY);
  repetitionPenalty(2)(logits, historyOf(5, [0, 0, 1], [1, 2, 0, 4]));
  expect([...logits]).toEqual([1, -4, 0, 3, Number.NEGATIVE_INFINITY]);
});

test('countPenalties: once for presence, once per time for frequency; the prompt does not count', () => {
  const logits = Float64Array.of(1, 1, 1, 1);
  countPenalties(0.25, 0.5)(logits, historyOf(4, [0, 0, 1], [1, 2, 2, 2]));
  expect([...logits]).toEqual([1, 0.25, -0.25, 1]);
});

test('penalties equal their formulas on 300 random histories', () => {
  const random = randomNumbers(4);
  const int = (n: number): number => Math.floor(random() * n);
  for (let i = 0; i < 300; i++) {
    const size = 1 + int(12);
    const prompt = Array.from({ length: int(10) }, () => int(size));
    const generated = Array.from({ length: int(10) }, () => int(size));
    const [penalty, frequency, presence] = [0.5 + random(), random() * 4 - 2, random() * 4 - 2];
    const logits = Float64Array.from({ length: size }, () => random() * 4 - 2);
    const expected = logits.map((logit, id) => {
      const seen = prompt.includes(id) || generated.includes(id);
      const penalized = !seen ? logit : logit < 0 ? logit * penalty : logit / penalty;
      const count = generated.filter((other) => other === id).length;
      return penalized - (count * frequency + (count > 0 ? presence : 0));
    });
    const history = historyOf(size, prompt, generated);
    repetitionPenalty(penalty)(logits, history);
    countPenalties(frequency, presence)(logits, history);
    expect(logits).toEqual(expected);
  }
});
