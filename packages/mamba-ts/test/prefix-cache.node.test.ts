import { fileURLToPath } from 'node:url';
import { PrefixCache, read, resume } from '@mamba-ts/generate';
import { fromPretrained, type LocalModel } from 'mamba-ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../model-shakespeare/shakespeare-mamba/', import.meta.url));

describe('states from the prefix cache, on a trained model', () => {
  let model: LocalModel;
  beforeAll(async () => {
    model = (await fromPretrained(folder, { worker: false })) as LocalModel;
  });
  afterAll(() => model.dispose());

  test('have the bits of the same pieces, and logits within 1e-5 of the range of one piece', async () => {
    const { languageModel } = model;
    let seed = 5;
    const below = (n: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * n);
    };
    // Room for about six states, so that some are evicted.
    const cache = new PrefixCache(languageModel, { maxBytes: 6 * 240_000 });
    // The pieces in which the text up to a kept state was fed, by its ids.
    const piecesOf = new Map<string, number[]>();
    let ids = new Int32Array(0);
    let reused = 0;
    for (let turn = 0; turn < 25; turn++) {
      const kept = ids.subarray(0, below(3) === 0 ? below(ids.length + 1) : ids.length);
      const added = Int32Array.from({ length: 1 + below(60) }, () => below(languageModel.vocabSize));
      ids = Int32Array.from([...(kept.length > 400 ? [] : kept), ...added]);
      const state = resume(languageModel, ids, null, cache);
      const pieces = [...(piecesOf.get(ids.subarray(0, state.position).join()) ?? [])];
      reused += state.position > 0 ? 1 : 0;
      for (let at = state.position; at < ids.length; ) {
        const end = Math.min(ids.length, (Math.floor(at / 64) + 1) * 64);
        pieces.push(end - at);
        at = end;
        piecesOf.set(ids.subarray(0, end).join(), [...pieces]);
      }
      await read(languageModel, ids, state, { cache, checkpointEvery: 64 });
      const byHand = languageModel.createState();
      let at = 0;
      for (const length of pieces) {
        await languageModel.forward(ids.subarray(at, at + length), byHand, 'none');
        at += length;
      }
      expect(await state.save()).toEqual(await byHand.save());
      const next = Int32Array.of(below(languageModel.vocabSize));
      const logits = await languageModel.forward(next, state, 'last');
      const whole = languageModel.createState();
      const expected = await languageModel.forward(Int32Array.from([...ids, ...next]), whole, 'last');
      const range = Math.max(...expected) - Math.min(...expected);
      for (const [i, value] of logits.entries())
        expect(Math.abs(value - expected[i]!)).toBeLessThanOrEqual(1e-5 * range);
      for (const each of [state, byHand, whole]) each.dispose();
    }
    expect(reused).toBeGreaterThan(12);
    cache.clear();
    expect((await model.memory()).state).toBe(0);
  });
});
