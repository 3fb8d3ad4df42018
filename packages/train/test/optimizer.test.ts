import { matrix, vector } from '@mamba-ts/tensor';
import { expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { AdamW, clipScale, decays, globalNorm, schedule, updateAverage } from '../src/index.ts';

interface Step {
  readonly gradients: number[][][];
  readonly norm: number;
  readonly values: number[][][];
  readonly averages: number[][][];
}
interface Fixture {
  readonly adamw: { rate: number; max_norm: number; ema: number; start: number[][][]; steps: Step[] };
  readonly cosine: number[];
  readonly wsd: number[];
}
const fixture: Fixture = JSON.parse(new TextDecoder().decode(await loadFixture('optimizer.json')));
const REMAKE = 'fixtures/optimizer.json is made by fixtures/optimizer.py';

const worst = (found: Float32Array, expected: number[]): number =>
  found.reduce((max, value, i) => Math.max(max, Math.abs(value - expected[i]!)), 0);

test('clipping, AdamW and the moving average equal PyTorch within 5e-7 over 12 steps', () => {
  const { rate, max_norm, ema, start, steps } = fixture.adamw;
  const specs = [matrix('in_proj.weight', [3, 5]), vector('A_log', [3, 5])];
  const optimizer = new AdamW(specs);
  const values = start.map((rows) => Float32Array.from(rows.flat()));
  const averages = values.map((part) => part.slice());
  for (const [i, step] of steps.entries()) {
    const gradients = step.gradients.map((rows) => Float32Array.from(rows.flat()));
    const norm = globalNorm(gradients);
    expect(Math.abs(norm - step.norm), REMAKE).toBeLessThan(1e-5);
    for (const [k, { name }] of specs.entries()) {
      optimizer.update(name, values[k]!, gradients[k]!, rate, clipScale(norm, max_norm));
      updateAverage(averages[k]!, values[k]!, ema);
      expect(worst(values[k]!, step.values[k]!.flat()), `${name}, step ${i}; ${REMAKE}`).toBeLessThan(5e-7);
      expect(worst(averages[k]!, step.averages[k]!.flat()), `average of ${name}, step ${i}`).toBeLessThan(5e-7);
    }
    optimizer.step++;
  }
});

test('schedules equal those of transformers within 1e-12', () => {
  const shapes = {
    cosine: schedule({ steps: 20, warmup: 4, shape: 'cosine', floor: 0.05 }),
    wsd: schedule({ steps: 20, warmup: 4, shape: 'wsd', decay: 6, floor: 0.1 }),
  };
  for (const [name, rate] of Object.entries(shapes)) {
    const expected = fixture[name as 'cosine' | 'wsd'];
    for (const [i, value] of expected.entries()) {
      // transformers' WSD warms up from the floor, ours from 0.
      if (name === 'wsd' && i + 1 < 4) continue;
      expect(Math.abs(rate(i + 1) - value), `${name}, step ${i + 1}; ${REMAKE}`).toBeLessThan(1e-12);
    }
  }
  expect([1, 2, 3].map(shapes.wsd)).toEqual([0.25, 0.5, 0.75]);
  expect(() => schedule({ steps: 10, warmup: 11, shape: 'cosine' })).toThrow(
    expect.objectContaining({ code: 'ARGUMENT' }),
  );
  expect(() => schedule({ steps: 10, warmup: 5, shape: 'wsd', decay: 6 })).toThrow(
    expect.objectContaining({ code: 'ARGUMENT' }),
  );
});

test('matrices and taps decay; A_log, D, norms and biases do not', () => {
  const yes = [
    matrix('backbone.embeddings.weight', [4, 4]),
    matrix('backbone.layers.0.mixer.in_proj.weight', [4, 4]),
    vector('backbone.layers.0.mixer.conv1d.weight', [4, 4]),
  ];
  const no = [
    vector('backbone.layers.0.mixer.A_log', [4, 4]),
    vector('backbone.layers.0.mixer.D', [4]),
    vector('backbone.layers.0.mixer.dt_proj.bias', [4]),
    vector('backbone.layers.0.mixer.B_bias', [2, 1, 4]),
    vector('backbone.layers.0.mixer.dt_bias', [2]),
    vector('backbone.norm_f.weight', [4]),
  ];
  expect(yes.filter((spec) => !decays(spec))).toEqual([]);
  expect(no.filter(decays)).toEqual([]);
});
