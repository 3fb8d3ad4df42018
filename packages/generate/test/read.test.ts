import { describe, expect, test } from 'vitest';
import { PrefixCache, read, resume } from '../src/index.ts';
import { type FakeState, fakeModel } from './fake-model.ts';
import { randomNumbers } from './helpers.ts';

const textOf = (length: number, seed = 1): Int32Array => {
  const random = randomNumbers(seed);
  return Int32Array.from({ length }, () => Math.floor(random() * 23));
};

describe('reading', () => {
  test('ends pieces at multiples of the chunk and of checkpointEvery, wherever it starts', async () => {
    const model = fakeModel({ maxChunk: 8 });
    const ids = textOf(37);
    const state = model.createState();
    expect(await read(model, ids.subarray(0, 3), state)).toBe(3);
    expect(await read(model, ids, state, { checkpointEvery: 20 })).toBe(34);
    expect(await read(model, ids, state)).toBe(0);
    expect(model.calls.map((call) => call.length)).toEqual([3, 5, 8, 4, 4, 8, 5]);
    expect(model.calls.flat()).toEqual([...ids]);
    expect(model.wanted.every((wanted) => wanted === 'none')).toBe(true);
  });

  test('resumes from the deepest state, its own or a kept one, and leaves no other behind', async () => {
    const model = fakeModel({ maxChunk: 8 });
    const cache = new PrefixCache(model);
    const ids = textOf(50);
    const first = resume(model, ids, null, cache);
    expect(first.position).toBe(0);
    await read(model, ids, first, { cache, checkpointEvery: 16 });
    expect(cache.size).toBe(4); // 16, 32, 48, 50
    const edited = ids.slice();
    edited[40] = (edited[40]! + 1) % 23;
    const second = resume(model, edited, null, cache);
    expect(second.position).toBe(32);
    const third = resume(model, ids, second, cache);
    expect(third.position).toBe(50);
    const own = resume(model, ids, third, cache);
    expect(own).toBe(third);
    expect(model.alive).toBe(2 + cache.size);
    for (const state of [first, own]) state.dispose();
    cache.clear();
    expect(model.alive).toBe(0);
  });

  test('an abort ends it within one piece; the state holds what was read and goes on from there', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const model = fakeModel({ maxChunk: 4, onForward: (call) => (call === 3 ? controller.abort(reason) : undefined) });
    const ids = textOf(30);
    const state = model.createState() as FakeState;
    await expect(read(model, ids, state, { signal: controller.signal })).rejects.toBe(reason);
    expect(state.position).toBe(12);
    await read(model, ids, state);
    expect(model.calls.flat()).toEqual([...ids]);
  });

  test('reports what is to be read now', async () => {
    const model = fakeModel({ maxChunk: 8 });
    const state = model.createState();
    const ids = textOf(20);
    await read(model, ids.subarray(0, 6), state);
    const seen: number[][] = [];
    await read(model, ids, state, { onProgress: ({ done, total }) => seen.push([done, total]) });
    expect(seen).toEqual([
      [2, 14],
      [10, 14],
      [14, 14],
    ]);
  });

  test.each([1, 2, 3, 4])(
    'random texts, edits and budgets: always the state of exactly these ids (seed %i)',
    async (seed) => {
      const random = randomNumbers(seed);
      const below = (n: number): number => Math.floor(random() * n);
      const model = fakeModel({ maxChunk: 1 + below(7) });
      const cache = new PrefixCache(model, { maxBytes: below(2000) });
      let ids = textOf(below(40), seed);
      let readAll = 0;
      let readNow = 0;
      for (let turn = 0; turn < 300; turn++) {
        // Go on, go back, edit somewhere, or begin anew.
        const kept = ids.subarray(0, [ids.length, below(ids.length + 1), below(ids.length + 1), 0][below(4)]!);
        ids = Int32Array.from([...kept, ...textOf(below(20), below(1e6))]);
        const state = resume(model, ids, null, cache) as FakeState;
        readAll += ids.length;
        readNow += await read(model, ids, state, { cache, checkpointEvery: 10 });
        const fresh = model.createState() as FakeState;
        await read(model, ids, fresh);
        expect([state.position, state.hash]).toEqual([ids.length, fresh.hash]);
        state.dispose();
        fresh.dispose();
        expect(model.alive).toBe(cache.size);
        expect(cache.bytes).toBeLessThanOrEqual(cache.maxBytes);
      }
      if (cache.maxBytes > 1000) expect(readNow).toBeLessThan(0.8 * readAll);
      cache.clear();
      expect(model.alive).toBe(0);
    },
  );
});
