import type { LanguageModel, State } from '@mamba-ts/layers';
import { describe, expect, test } from 'vitest';
import { exponent, powerLaw } from '../src/compare/report.ts';
import { type CompareReport, compare, compareCsv, compareHtml, compareSvg, describeComparison } from '../src/index.ts';

/** A clock that only work moves. */
const clock = { now: 0 };

interface Fake {
  /** Milliseconds for `tokens` more at `position`. */
  cost(tokens: number, position: number): number;
  stateBytes(position: number): number;
}

const alive = { states: 0, calls: 0 };

/** A model that does nothing but take time. */
function fake({ cost, stateBytes }: Fake): LanguageModel {
  const makeState = (start: number): State => {
    alive.states++;
    const state = {
      position: start,
      get byteLength() {
        return stateBytes(state.position);
      },
      clone: () => makeState(state.position),
      save: () => Promise.reject(new Error('never saved')),
      dispose: () => {
        alive.states--;
      },
    };
    return state;
  };
  return {
    vocabSize: 11,
    maxChunk: 512,
    eosTokenIds: [],
    bosTokenId: null,
    createState: () => makeState(0),
    loadState: () => makeState(0),
    async forward(ids: Int32Array, state: State) {
      alive.calls++;
      clock.now += cost(ids.length, state.position);
      (state as { position: number }).position += ids.length;
      return new Float32Array(11);
    },
    forwardBatch: () => Promise.reject(new Error('no batches')),
    dispose() {},
  } as unknown as LanguageModel;
}

const linear = fake({ cost: (tokens) => (tokens === 1 ? 5 : 2 * tokens), stateBytes: () => 1000 });
const quadratic = fake({
  // The sum of position over the tokens read.
  cost: (tokens, position) => (tokens === 1 ? 1 + position / 100 : (tokens * (2 * position + tokens)) / 2000),
  stateBytes: (position) => 16 * position,
});
const contestants = [
  { name: 'linear', model: linear, params: 10, weightBytes: 40, operations: (n: number) => 20 * n },
  { name: 'quadratic', model: quadratic, params: 12, weightBytes: 48, operations: (n: number) => 24 * n * n },
];
const now = () => clock.now;

describe('compare', () => {
  test('exponents: 1 for a linear model and 2 for a quadratic one within 1e-9, 0 for a flat decode', async () => {
    const report = await compare(contestants, { lengths: [128, 512, 2048, 8192], now });
    const [a, b] = report.models as [(typeof report.models)[0], (typeof report.models)[0]];
    expect(a.prefill_exponent).toBeCloseTo(1, 9);
    expect(a.decode_exponent).toBeCloseTo(0, 9);
    expect(a.exponent_2048_8192).toBeCloseTo(1, 9);
    expect(b.exponent_2048_8192).toBeCloseTo(2, 9);
    expect(b.decode_exponent).toBeGreaterThan(0.5);
    expect(a.points).toEqual(
      [128, 512, 2048, 8192].map((length) => ({
        length,
        prefill_ms: 2 * length,
        decode_ms: 5,
        state_bytes: 1000,
        flops: 20 * length,
        repeats: 3,
        measured: true,
      })),
    );
    expect(b.points.map((point) => point.state_bytes)).toEqual([128, 512, 2048, 8192].map((n) => 16 * n));
    expect(alive.states).toBe(0);
  });

  test('what does not fit into the budget is left out, said, and extrapolated by the power law', async () => {
    const leftOut: string[] = [];
    const report = await compare(contestants, {
      lengths: [128, 512, 2048, 8192],
      now,
      budgetSeconds: 16,
      onLeftOut: (model, length) => leftOut.push(`${model} ${length}`),
    });
    expect(leftOut).toEqual(['linear 8192', 'quadratic 8192']);
    const last = report.models[0]!.points.at(-1)!;
    expect(last).toMatchObject({ length: 8192, measured: false, repeats: 0, state_bytes: 1000 });
    expect(last.prefill_ms).toBeCloseTo(2 * 8192, 6);
    expect(report.models[1]!.points.at(-1)!.state_bytes).toBe(16 * 8192);
    expect(report.models[0]!.exponent_2048_8192).toBeNull();
    expect(alive.states).toBe(0);
  });

  test('no text past the context is read: a length past it is said and extrapolated', async () => {
    const leftOut: string[] = [];
    const [, quadratic] = contestants;
    const report = await compare([{ ...quadratic!, contextLength: 2048 }], {
      lengths: [128, 512, 2048, 8192],
      now,
      onLeftOut: (model, length, because) => leftOut.push(`${model} ${length} ${because}`),
      onProgress: ({ what, length }) => expect(what === 'decode' ? length < 2048 : length <= 2048).toBe(true),
    });
    expect(leftOut).toEqual(['quadratic 8192 context']);
    expect(report.models[0]!.points.map(({ measured }) => measured)).toEqual([true, true, true, false]);
    expect(report.models[0]!.points.every(({ decode_ms }) => decode_ms > 0)).toBe(true);
    expect(alive.states).toBe(0);
  });

  test('an abort ends it within one pass and leaves no state behind', async () => {
    const controller = new AbortController();
    let calls = 0;
    const run = compare(contestants, {
      lengths: [4096],
      now,
      signal: controller.signal,
      onProgress: ({ what }) => {
        if (what === 'prefill') {
          controller.abort(new Error('enough'));
          calls = alive.calls;
        }
      },
    });
    await expect(run).rejects.toThrow('enough');
    expect(alive.calls - calls).toBe(0);
    expect(alive.states).toBe(0);
  });

  test.each([[[]], [[128, 128]], [[512, 128]], [[0]], [[1.5]]])('lengths %j are refused', async (lengths) => {
    await expect(compare(contestants, { lengths, now })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

test('exponent and powerLaw at their edges', () => {
  expect(exponent([{ x: 1, y: 1 }])).toBeNull();
  expect(powerLaw([{ x: 2, y: 7 }], 100, 0)).toBe(7);
  expect(powerLaw([{ x: 2, y: 7 }], 100, 1)).toBe(350);
  expect(powerLaw([], 100, 1)).toBeNaN();
});

const report: CompareReport = {
  models: [
    {
      name: '=mamba "x" <b>',
      params: 129_135_360,
      weight_bytes: 258e6,
      points: [
        {
          length: 128,
          prefill_ms: 500,
          decode_ms: 13.2,
          state_bytes: 2_801_664,
          flops: 2.3e10,
          repeats: 3,
          measured: true,
        },
        {
          length: 8192,
          prefill_ms: 32_000,
          decode_ms: 13.3,
          state_bytes: 2_801_664,
          flops: 1.5e12,
          repeats: 1,
          measured: true,
        },
      ],
      prefill_exponent: 1,
      decode_exponent: 0,
      exponent_2048_8192: null,
    },
    {
      name: 'pythia',
      params: 162_000_000,
      weight_bytes: 324e6,
      points: [
        { length: 128, prefill_ms: 300, decode_ms: 12, state_bytes: 9e6, flops: 2e10, repeats: 3, measured: true },
        {
          length: 8192,
          prefill_ms: 70_000,
          decode_ms: 48,
          state_bytes: 604e6,
          flops: 4e12,
          repeats: 0,
          measured: false,
        },
      ],
      prefill_exponent: null,
      decode_exponent: null,
      exponent_2048_8192: null,
    },
  ],
};

describe('the report as text', () => {
  test('words: every figure from the report, extrapolation said', () => {
    expect(describeComparison(report)).toBe(
      'Reading: =mamba "x" <b> took 64.0 times as long for 64 times the text (500 ms for 128 tokens, 32.0 s for 8,192). ' +
        'Writing on after the shortest and the longest of these texts: =mamba "x" <b> stays at 13.3 ms per token. ' +
        'To remember the text, =mamba "x" <b> always needs 2.8 MB. ' +
        'Not measured but extrapolated, for lack of time: pythia at 8,192.',
    );
  });

  test('csv: quoted, and no formula', () => {
    const [head, first] = compareCsv(report).split('\r\n');
    expect(head).toBe('model,params,weight_bytes,length,prefill_ms,decode_ms,state_bytes,flops,repeats,measured');
    expect(first).toBe(`"'=mamba ""x"" <b>",129135360,258000000,128,500,13.2,2801664,23000000000,3,true`);
  });

  test('svg and html: names are escaped, extrapolated points hollow and dashed, every coordinate finite', () => {
    for (const text of [compareSvg(report), compareHtml(report)]) {
      expect(text).not.toContain('<b>');
      expect(text).not.toMatch(/NaN|Infinity|undefined/);
      expect(text.match(/class="hollow"/g)).toHaveLength(3);
      expect(text.match(/stroke-dasharray/g)).toHaveLength(3);
      expect(text.match(/<circle/g)).toHaveLength(12);
    }
  });
});
