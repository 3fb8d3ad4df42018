import type { LanguageModel, State } from '@mamba-ts/layers';
import { describe, expect, test } from 'vitest';
import { type QualityModel, quality, rankSensitivity } from '../src/index.ts';

const alive = { states: 0 };

/** A model of 3 tokens whose logits depend on the last id and the depth: ln of `shares(id, position)`. */
function fake(shares: (id: number, position: number) => readonly number[], maxChunk = 4): LanguageModel {
  return {
    vocabSize: 3,
    maxChunk,
    createState() {
      alive.states++;
      const state = { position: 0, byteLength: 4, dispose: () => alive.states-- };
      return state as unknown as State;
    },
    async forward(ids: Int32Array, state: { position: number }) {
      const rows = new Float32Array(3 * ids.length);
      // A shift of all logits must change nothing.
      for (const [i, id] of ids.entries())
        rows.set(
          shares(id, state.position++).map((share) => Math.log(share) + 700),
          3 * i,
        );
      return rows;
    },
  } as unknown as LanguageModel;
}

const named = (name: string, model: LanguageModel): QualityModel => ({ name, model, weightBytes: 12, fileBytes: 20 });
const first = fake(() => [0.5, 0.25, 0.25]);
const second = fake((id) => (id === 0 ? [0.25, 0.5, 0.25] : [0.5, 0.25, 0.25]));
const ids = [0, 1, 2, 0, 1, 2, 0, 1, 2, 2];

describe('quality', () => {
  test('nats, divergence and equal likeliest tokens of distributions known in closed form, within 1e-4', async () => {
    const told: number[] = [];
    const onProgress = ({ done }: { done: number }): number => told.push(done);
    const report = await quality([named('a', first), named('b', second)], ids, { onProgress });
    const [a, b] = report.models as [(typeof report.models)[0], (typeof report.models)[0]];
    expect(report).toMatchObject({ tokens: 10, scored: 9 });
    // Targets 1 2 0 1 2 0 1 2 2: twice the one of probability 1/2, else 1/4.
    expect(a.nats_per_token).toBeCloseTo((16 * Math.LN2) / 9, 4);
    // Of `second` the three behind an id 0 (all of them a 1) have 1/2 as well.
    expect(b.nats_per_token).toBeCloseTo((13 * Math.LN2) / 9, 4);
    expect([a.kl_mean, a.kl_p999, a.top1_equal]).toEqual([0, 0, 1]);
    // 0.5 ln(0.5/0.25) + 0.25 ln(0.25/0.5) behind each of the three, 0 elsewhere.
    const divergence = 0.25 * Math.LN2;
    expect(b.kl_mean).toBeCloseTo((3 * divergence) / 9, 4);
    expect(b.kl_p999).toBeCloseTo(divergence, 4);
    expect(b.top1_equal).toBeCloseTo(6 / 9, 12);
    expect(b).toMatchObject({ name: 'b', weight_bytes: 12, file_bytes: 20 });
    expect(told).toEqual([4, 8, 9]);
    expect(alive.states).toBe(0);
  });

  test('window: the states begin anew at inputs 0, N, 2N', async () => {
    const depths: number[] = [];
    const model = fake((_, position) => {
      depths.push(position);
      return [0.5, 0.25, 0.25];
    });
    await quality([named('a', model)], ids, { window: 5 });
    expect(depths).toEqual([0, 1, 2, 3, 4, 0, 1, 2, 3]);
    expect(alive.states).toBe(0);
  });

  test('a token that only the other model excludes costs infinitely much', async () => {
    const strict = fake(() => [0.5, 0.5, 0]);
    const { models } = await quality([named('a', first), named('b', strict)], ids);
    expect(models[1]!.kl_mean).toBe(Number.POSITIVE_INFINITY);
    const back = await quality([named('b', strict), named('a', first)], [0, 1, 0]);
    expect(back.models[1]!.kl_mean).toBeCloseTo(0.5 * Math.LN2, 4);
  });

  test('refusals name the thing, and no state is left behind', async () => {
    const wide = { ...first, vocabSize: 4 } as LanguageModel;
    const nan = fake((_, position) => (position === 6 ? [Number.NaN, 1, 1] : [1, 1, 1]));
    const a = named('a', first);
    await expect(quality([], ids)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(quality([a], [1])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(quality([a], ids, { window: 0 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(quality([a], [0, 3])).rejects.toMatchObject({ code: 'TOKEN_ID' });
    await expect(quality([a, named('wide', wide)], ids)).rejects.toMatchObject({ code: 'QUALITY_VOCABULARY' });
    await expect(quality([a, named('b', nan)], ids)).rejects.toMatchObject({
      code: 'LOGITS_NOT_FINITE',
      details: { position: 6 },
    });
    const reason = new Error('enough');
    await expect(quality([a], ids, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(alive.states).toBe(0);
  });
});

test('rankSensitivity: the tensor whose change diverges most comes first, and each version is disposed of', async () => {
  let open = 0;
  const version = (shares: readonly number[]) => async (): Promise<LanguageModel> => {
    open++;
    return Object.assign(
      fake(() => shares),
      { dispose: () => open-- },
    ) as unknown as LanguageModel;
  };
  const told: number[] = [];
  const report = await rankSensitivity(
    first,
    [
      { tensor: 'harmless', parameters: 4, bytes_saved: 8, load: version([0.5, 0.25, 0.25]) },
      { tensor: 'harmful', parameters: 6, bytes_saved: 12, load: version([0.25, 0.5, 0.25]) },
    ],
    ids,
    'q4_0',
    { onProgress: ({ done, total }) => told.push(done / total) },
  );
  expect(report).toMatchObject({ dtype: 'q4_0', scored: 9 });
  expect(report.nats_per_token).toBeCloseTo((16 * Math.LN2) / 9, 4);
  expect(report.tensors.map(({ tensor }) => tensor)).toEqual(['harmful', 'harmless']);
  expect(report.tensors[0]!.kl_mean).toBeCloseTo(0.25 * Math.LN2, 4);
  // Of the nine targets two are token 0, three token 1: those cost ln 2 more and ln 2 less.
  expect(report.tensors[0]!.nats_change).toBeCloseTo(((2 - 3) * Math.LN2) / 9, 4);
  expect(report.tensors[1]).toEqual({ tensor: 'harmless', parameters: 4, bytes_saved: 8, kl_mean: 0, nats_change: 0 });
  expect([open, alive.states, told.at(-1)]).toEqual([0, 0, 1]);
});
