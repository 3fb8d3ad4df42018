import { describe, expect, test } from 'vitest';
import { Candidates, expNonPositive, minP, temperature, topK, topP, type Warper } from '../src/index.ts';
import { randomNumbers, roughLogits } from './helpers.ts';

function candidatesOf(logits: ArrayLike<number>): Candidates {
  const candidates = new Candidates(logits.length);
  candidates.load(Float64Array.from(logits), Math.max(...Array.from(logits)));
  return candidates;
}

function kept(warper: Warper, logits: ArrayLike<number>): number[] {
  const candidates = candidatesOf(logits);
  warper(candidates);
  return [...candidates.ids.subarray(0, candidates.count)];
}

/** Positions of allowed logits, best first, of equals the lowest. */
function ranked(logits: ArrayLike<number>): number[] {
  const allowed = Array.from(logits, (_, id) => id).filter((id) => logits[id]! > Number.NEGATIVE_INFINITY);
  return allowed.sort((a, b) => logits[b]! - logits[a]! || a - b);
}

const ascending = (ids: readonly number[]): number[] => [...ids].sort((a, b) => a - b);

/** The definitions, by sorting. */
const byDefinition = {
  topK(logits: ArrayLike<number>, k: number): number[] {
    const order = ranked(logits);
    const last = logits[order[Math.min(k, order.length) - 1]!]!;
    return ascending(order.filter((id) => logits[id]! >= last));
  },
  topP(logits: ArrayLike<number>, p: number): number[] {
    const order = ranked(logits);
    const weight = (id: number): number => expNonPositive(logits[id]! - logits[order[0]!]!);
    const total = ascending(order).reduce((sum, id) => sum + weight(id), 0);
    let mass = 0;
    const out: number[] = [];
    for (const id of order) {
      out.push(id);
      mass += weight(id);
      if (mass >= p * total) break;
    }
    return ascending(out);
  },
  minP(logits: ArrayLike<number>, p: number): number[] {
    const order = ranked(logits);
    return ascending(order.filter((id) => expNonPositive(logits[id]! - logits[order[0]!]!) >= p));
  },
};

describe.each([
  { seed: 1, kind: 'many equal logits', make: roughLogits },
  {
    seed: 2,
    kind: 'distinct logits',
    make: (random: () => number, size: number) => Float32Array.from({ length: size }, () => random() * 12 - 6),
  },
  { seed: 3, kind: 'one flat row', make: (_: () => number, size: number) => new Float32Array(size) },
])('equal to the definition by sorting, 400 random cases each: $kind', ({ seed, make }) => {
  const cases = function* (): Generator<[Float32Array, () => number]> {
    const random = randomNumbers(seed);
    for (let i = 0; i < 400; i++) yield [make(random, 1 + Math.floor(random() * 70)), random];
  };

  test('topK', () => {
    for (const [logits, random] of cases()) {
      const k = 1 + Math.floor(random() * logits.length * 1.2);
      expect(kept(topK(k), logits), `k ${k} of [${logits}]`).toEqual(byDefinition.topK(logits, k));
    }
  });

  test('topP', () => {
    for (const [logits, random] of cases()) {
      // From a small nucleus to all but the faintest.
      for (const p of [random(), 1 - random() ** 4 / 100]) {
        expect(kept(topP(p), logits), `p ${p} of [${logits}]`).toEqual(byDefinition.topP(logits, p));
      }
    }
  });

  test('minP', () => {
    for (const [logits, random] of cases()) {
      const p = random() ** 3;
      expect(kept(minP(p), logits), `p ${p} of [${logits}]`).toEqual(byDefinition.minP(logits, p));
    }
  });
});

test('edges: everything, one, equals at the border', () => {
  const logits = [1, 3, 2, 3];
  expect(kept(topK(1), logits)).toEqual([1, 3]);
  expect(kept(topK(3), logits)).toEqual([1, 2, 3]);
  expect(kept(topK(4), logits)).toEqual([0, 1, 2, 3]);
  expect(kept(topK(99), logits)).toEqual([0, 1, 2, 3]);
  expect(kept(topP(0), logits)).toEqual([1]);
  expect(kept(topP(0.3), logits)).toEqual([1]);
  expect(kept(topP(0.5), logits)).toEqual([1, 3]);
  expect(kept(topP(1 - 2 ** -53), logits)).toEqual([0, 1, 2, 3]);
  expect(kept(minP(0), logits)).toEqual([0, 1, 2, 3]);
  expect(kept(minP(1), logits)).toEqual([1, 3]);
  expect(kept(topP(0), new Float32Array(50))).toEqual([0]);
});

test('the bounds are inclusive: weights 1, 1/2 and 1/4 exactly', () => {
  // exp(-ln 2) comes out as exactly 1/2, and its square as 1/4.
  const logits = [0, -Math.LN2, -2 * Math.LN2, -2 * Math.LN2];
  expect([...candidatesOf(logits).weights()]).toEqual([1, 0.5, 0.25, 0.25]);
  expect(kept(minP(0.5), logits)).toEqual([0, 1]);
  expect(kept(minP(0.5000001), logits)).toEqual([0]);
  expect(kept(minP(0.25), logits)).toEqual([0, 1, 2, 3]);
  expect(kept(topP(0.5), logits)).toEqual([0]);
  expect(kept(topP(0.5000001), logits)).toEqual([0, 1]);
  expect(kept(topP(0.75), logits)).toEqual([0, 1]);
  expect(kept(topP(0.8), logits)).toEqual([0, 1, 2]);
});

test('a warper serves rows with more candidates after rows with fewer', () => {
  const wide = Float64Array.from({ length: 40 }, (_, i) => (i * 17) % 40);
  const narrow = wide.map((logit, i) => (i < 37 ? Number.NEGATIVE_INFINITY : logit));
  for (const warper of [topK(2), topP(0.9), topP(0.9999), minP(0.1)]) {
    const fresh = kept(warper, wide);
    kept(warper, narrow);
    expect(kept(warper, wide)).toEqual(fresh);
  }
});

test('temperature divides the scores; weights follow', () => {
  const candidates = candidatesOf([1, 3, 2]);
  const before = [...candidates.weights()];
  temperature(2)(candidates);
  expect([...candidates.scores]).toEqual([-1, 0, -0.5]);
  expect([...candidates.weights()]).toEqual([-1, 0, -0.5].map(expNonPositive));
  expect([...candidates.weights()]).not.toEqual(before);
});

test('weights stay with their candidates when others are dropped, and are computed anew for the next row', () => {
  const candidates = candidatesOf([0, -1, -2, -3]);
  candidates.weights();
  candidates.keepFrom(-2, 4);
  expect([...candidates.weights().subarray(0, candidates.count)]).toEqual([0, -1, -2].map(expNonPositive));
  expect(candidates.total()).toBe(expNonPositive(0) + expNonPositive(-1) + expNonPositive(-2));
  candidates.load(Float64Array.of(-1, Number.NEGATIVE_INFINITY, 0, -4), 0);
  expect([...candidates.ids.subarray(0, candidates.count)]).toEqual([0, 2, 3]);
  expect([...candidates.weights().subarray(0, candidates.count)]).toEqual([-1, 0, -4].map(expNonPositive));
});

test('keepFrom keeps equals up to a position', () => {
  const candidates = candidatesOf([0, -1, -1, -1, -2]);
  candidates.keepFrom(-1, 2);
  expect([...candidates.ids.subarray(0, candidates.count)]).toEqual([0, 1, 2]);
  expect([...candidates.scores.subarray(0, candidates.count)]).toEqual([0, -1, -1]);
});

test('a chain of warpers equals transformers order: each sees what the one before left', () => {
  // After top-k 2 the two are 1/2 each, so that top-p 0.5 leaves one; before it, it would leave two.
  const logits = [0, 0, -0.1, -0.1];
  const candidates = candidatesOf(logits);
  topK(2)(candidates);
  topP(0.5)(candidates);
  expect([...candidates.ids.subarray(0, candidates.count)]).toEqual([0]);
  expect(kept(topP(0.5), logits)).toEqual([0, 1]);
});
