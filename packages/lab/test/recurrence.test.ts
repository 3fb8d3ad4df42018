import { createWasmBackend } from '@mamba-ts/kernels';
import { vector } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { expectedOf, loadFixtureModel } from '../../layers/test/checkpoint.ts';
import {
  groupAttention,
  hiddenAttention,
  measure,
  type Recurrence,
  recurrenceOf,
  timeInvariant,
} from '../src/index.ts';

const pause = async (): Promise<void> => {};

async function recurrences(name: string): Promise<Recurrence[]> {
  const backend = await createWasmBackend();
  const model = await loadFixtureModel(name, backend);
  const { ids } = await expectedOf(name);
  const observed = await model.observe(ids, model.createState());
  backend.dispose();
  const layers = [...observed.keys()].filter((key) => key.endsWith('.u'));
  return layers.map((_, layer) => recurrenceOf(observed, layer));
}

/**
 * The state after rows `0` to `end` by the reference scan in f64, `[H P, N]`, for a recurrence whose input is `u`. Written
 * out per channel: Mamba-2's shared rates, B and C are repeated, so that one op serves both.
 */
async function stateAfter(r: Recurrence, u: Float32Array, end: number): Promise<{ h: Float64Array; y: Float64Array }> {
  const exact = createReferenceBackend({ precision: 'f64' });
  const channels = r.heads * r.width;
  const h = new Float64Array(channels * r.states);
  const y = new Float64Array(end * channels);
  const perGroup = r.heads / r.groups;
  for (let g = 0; g < r.groups; g++) {
    const first = g * perGroup * r.width;
    const width = perGroup * r.width;
    const headOf = (c: number): number => Math.floor((first + c) / r.width);
    const rows = (columns: number, value: (t: number, c: number) => number) =>
      exact.upload(
        Float64Array.from({ length: end * columns }, (_, i) => value(Math.floor(i / columns), i % columns)),
        [end, columns],
      );
    const A = exact.loadExact(
      vector('A', [width, r.states]),
      Float64Array.from({ length: width * r.states }, (_, i) => {
        return r.A[headOf(Math.floor(i / r.states)) * r.rates + ((i % r.states) % r.rates)]!;
      }),
    );
    const slot = exact.createSlot(width * r.states);
    const selected = (values: Float32Array) => rows(r.states, (t, n) => values[(t * r.groups + g) * r.states + n]!);
    const out = exact.selectiveScan(
      rows(width, (t, c) => u[t * channels + first + c]!),
      rows(width, (t, c) => r.delta[t * r.heads + headOf(c)]!),
      A,
      selected(r.B),
      selected(r.C),
      null,
      null,
      null,
      false,
      { name: 'ssm', shape: [width, r.states], offset: 0 },
      [{ start: 0, length: end, slot, reset: true }],
    );
    h.set(await exact.readSlotExact(slot), first * r.states);
    const values = await exact.readExact(out);
    for (let i = 0; i < values.length; i++) y[Math.floor(i / width) * channels + first + (i % width)] = values[i]!;
  }
  return { h, y };
}

const size = (values: Float64Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

/** The input with every token but `t` silent. */
const only = (r: Recurrence, t: number): Float32Array =>
  r.u.map((value, i) => (Math.floor(i / (r.heads * r.width)) === t ? value : 0));

const MODELS = [
  'mamba/plain',
  'mamba/state-15',
  'mamba/falcon',
  'mamba2/plain',
  'mamba2/groups',
  'mamba2/original-mlp',
];

describe.each(MODELS)('%s', (name) => {
  test('hidden attention times inputs, skip and gate is y within 1e-5 of its range, in every channel', async () => {
    for (const r of await recurrences(name)) {
      const { difference, range } = await groupAttention(r, [0, r.heads * r.width - 1], pause);
      expect(range).toBeGreaterThan(0);
      expect(difference).toBeLessThanOrEqual(1e-5 * range);
    }
  });

  test('alpha[t, s] is what the f64 reference scan gives at t for an impulse at s, within 1e-9 of the largest', async () => {
    const [r] = (await recurrences(name)) as [Recurrence];
    const channels = r.heads * r.width;
    const s = 5;
    const impulse = r.u.map((_, i) => (Math.floor(i / channels) === s ? 1 : 0));
    for (const variant of [r, timeInvariant(r)]) {
      const { y } = await stateAfter(variant, impulse, r.tokens);
      for (const head of [0, r.heads - 1]) {
        const alpha = hiddenAttention(variant, head);
        const column = Array.from({ length: r.tokens }, (_, t) => alpha[t * r.tokens + s]!);
        const found = column.map((_, t) => y[t * channels + head * r.width]!);
        const scale = Math.max(...found.map(Math.abs));
        for (const [t, value] of column.entries())
          expect(Math.abs(value - found[t]!)).toBeLessThanOrEqual(1e-9 * scale);
      }
    }
  });

  test('written, remaining and half-life are those of the reference state that holds one token alone, within 1e-9', async () => {
    const [r] = (await recurrences(name)) as [Recurrence];
    const { written, remaining, half_life } = await measure(r, pause);
    for (const t of [0, 17, 33]) {
      const alone = only(r, t);
      const fresh = size((await stateAfter(r, alone, t + 1)).h);
      expect(Math.abs(written[t]! / fresh - 1)).toBeLessThanOrEqual(1e-9);
      const left = size((await stateAfter(r, alone, r.tokens)).h) / fresh;
      expect(Math.abs(remaining[t]! - left)).toBeLessThanOrEqual(1e-9);
      const life = half_life[t]!;
      if (t + life >= r.tokens) continue;
      expect(size((await stateAfter(r, alone, t + life + 1)).h)).toBeLessThanOrEqual(fresh / 2);
      expect(size((await stateAfter(r, alone, t + life)).h)).toBeGreaterThan(life === 1 ? 0 : fresh / 2);
    }
  });
});

test('without selection hidden attention depends on the distance alone, and every token keeps the same share', async () => {
  const [r] = (await recurrences('mamba/plain')) as [Recurrence];
  const invariant = timeInvariant(r);
  const alpha = hiddenAttention(invariant, 3);
  for (let t = 1; t < r.tokens; t++) {
    for (let s = 1; s <= t; s++) {
      expect(alpha[t * r.tokens + s]).toBeCloseTo(alpha[(t - 1) * r.tokens + s - 1]!, 12);
    }
  }
  const { retention } = await measure(invariant, pause);
  expect(Math.max(...retention) - Math.min(...retention)).toBeLessThan(1e-12);
  expect(new Set((await measure(r, pause)).retention).size).toBeGreaterThan(r.tokens / 2);
});

/** One channel, one state: delta 0.5, A -1, so that exp(-0.5 k) of a token is left after k more. */
const tiny = (tokens: number, over: Partial<Recurrence> = {}): Recurrence => ({
  tokens,
  heads: 1,
  width: 1,
  groups: 1,
  states: 1,
  delta: new Float64Array(tokens).fill(0.5),
  A: Float32Array.of(-1),
  rates: 1,
  B: new Float32Array(tokens).fill(1),
  C: new Float32Array(tokens).fill(1),
  u: new Float32Array(tokens).fill(2),
  D: Float32Array.of(0),
  gate: new Float32Array(tokens),
  y: new Float32Array(tokens),
  gated: true,
  ...over,
});

test('forgotten next: the tokens above half, soonest first; past the end the mean pace goes on', async () => {
  const measures = await measure(tiny(4), pause);
  // exp(-0.5) = 0.61, exp(-1) = 0.37: half is gone after two tokens.
  expect(measures.half_life).toEqual([2, 2, 2, 2]);
  expect(measures.forgotten_next).toEqual([
    { token: 2, after: 1 },
    { token: 3, after: 2 },
  ]);
  expect(measures.written).toEqual([1, 1, 1, 1]);
  expect(measures.remaining[0]).toBeCloseTo(Math.exp(-1.5), 12);

  // ln 2 / 0.01 = 69.3 within the text; then 0.02 on average over the text, so that what is left halves sooner.
  const delta = Float64Array.from({ length: 200 }, (_, t) => (t < 100 ? 0.01 : 0.03));
  const { half_life } = await measure(tiny(200, { delta }), pause);
  expect([half_life[0], half_life[99], half_life[199]]).toEqual([70, 24, 35]);
});

test('infinities and NaNs are refused by name', async () => {
  const backend = await createWasmBackend();
  const model = await loadFixtureModel('mamba/plain', backend);
  const observed = await model.observe(Int32Array.of(1, 2, 3), model.createState());
  backend.dispose();
  for (const [name, bad] of [
    ['delta', Number.POSITIVE_INFINITY],
    ['B', Number.NaN],
    ['A', Number.NEGATIVE_INFINITY],
  ] as const) {
    const { shape, values } = observed.get(`layers.1.${name}`)!;
    const damaged = new Map(observed).set(`layers.1.${name}`, { shape, values: values.with(4, bad) });
    expect(() => recurrenceOf(damaged, 1)).toThrow(new RegExp(`^${name} of layer 1 is not finite`));
    expect(recurrenceOf(damaged, 0).tokens).toBe(3);
  }
});

test('what never fades and what was never written have no half-life', async () => {
  expect((await measure(tiny(2, { A: Float32Array.of(-0) }), pause)).half_life).toEqual([null, null]);
  const silent = await measure(tiny(2, { u: Float32Array.of(0, 1) }), pause);
  expect(silent.half_life).toEqual([null, 2]);
  expect([silent.written[0], silent.remaining[0]]).toEqual([0, 0]);
});
