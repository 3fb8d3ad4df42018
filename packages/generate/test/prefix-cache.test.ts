import type { State } from '@mamba-ts/layers';
import { MambaError } from '@mamba-ts/tensor';
import { describe, expect, test } from 'vitest';
import { PrefixCache } from '../src/index.ts';
import { fakeModel } from './fake-model.ts';
import { errorOf, randomNumbers } from './helpers.ts';

/** A state that says what it holds, so that a wrong one shows; counts those alive. */
function ledger() {
  let alive = 0;
  const make = (ids: readonly number[], byteLength: number): State & { readonly ids: readonly number[] } => {
    alive++;
    let disposed = false;
    return {
      ids,
      byteLength,
      position: ids.length,
      clone() {
        if (disposed) throw new Error('cloned after dispose');
        return make(ids, byteLength);
      },
      save: () => Promise.reject(new Error('not here')),
      dispose() {
        if (disposed) throw new Error('disposed twice');
        disposed = true;
        alive--;
      },
    };
  };
  return { make, alive: () => alive };
}
const idsOf = (state: State | null): readonly number[] | null => state && (state as ReturnType<typeof make>).ids;
const { make } = ledger();
const model = fakeModel();

describe('a prefix cache', () => {
  test('finds the longest prefix, never more than the ids, never a sibling', () => {
    const cache = new PrefixCache(model);
    for (const ids of [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 9], [7]]) cache.put(Int32Array.from(ids), make(ids, 10));
    const taken = (...ids: number[]) => idsOf(cache.take(Int32Array.from(ids)));
    expect(taken(1, 2, 3, 4)).toEqual([1, 2, 3]);
    expect(taken(1, 2, 3, 4, 5)).toEqual([1, 2, 3, 4, 5]);
    expect(taken(1, 2, 3, 4, 5, 6)).toEqual([1, 2, 3, 4, 5]);
    expect(taken(1, 2, 9, 9)).toEqual([1, 2, 9]);
    expect(taken(1, 2)).toBe(null);
    expect(taken(1, 2, 4)).toBe(null);
    expect(taken()).toBe(null);
    expect(taken(7, 7)).toEqual([7]);
    expect(cache.take(Int32Array.of(1, 2, 3, 4), 3)).toBe(null);
    expect(idsOf(cache.take(Int32Array.of(1, 2, 3, 4), 2))).toEqual([1, 2, 3]);
    expect(cache.size).toBe(4);
    // 4 states of 10 bytes; the ids 1 2 | 3 | 4 5 | 9 | 7 once each.
    expect(cache.bytes).toBe(40 + 4 * 7);
  });

  test('gives up what was used least recently, and its ids with it', () => {
    const cache = new PrefixCache(model, { maxBytes: 3 * 104 });
    for (const id of [1, 2, 3]) cache.put(Int32Array.of(id), make([id], 100));
    expect(cache.bytes).toBe(312);
    cache.take(Int32Array.of(1))?.dispose();
    cache.put(Int32Array.of(3), make([3], 100));
    cache.put(Int32Array.of(4), make([4], 100));
    expect([1, 2, 3, 4].map((id) => cache.take(Int32Array.of(id)) !== null)).toEqual([true, false, true, true]);
    cache.clear();
    expect([cache.bytes, cache.size]).toEqual([0, 0]);
  });

  test('takes states whose sizes differ, as those of a growing cache do', () => {
    const cache = new PrefixCache(model, { maxBytes: 1000 });
    for (let n = 1; n <= 6; n++) {
      const ids = Array.from({ length: n }, (_, i) => i);
      expect(cache.put(Int32Array.from(ids), make(ids, 100 * n))).toBe(true);
    }
    // 600 bytes and 6 ids; the 500 of the one before it, and all older ones, had to go.
    expect([cache.bytes, cache.size]).toEqual([624, 1]);
    expect(cache.put(Int32Array.of(9), make([9], 1000))).toBe(false);
    expect([cache.bytes, cache.size]).toEqual([624, 1]);
  });

  test('keeps nothing with a budget of 0, and nothing where memory is out', () => {
    expect(new PrefixCache(model, { maxBytes: 0 }).put(Int32Array.of(1), make([1], 0))).toBe(false);
    const state = make([1], 10);
    const cache = new PrefixCache(model);
    state.clone = () => {
      throw new MambaError('OUT_OF_MEMORY', 'full');
    };
    expect(cache.put(Int32Array.of(1), state)).toBe(false);
    expect([cache.bytes, cache.size, cache.take(Int32Array.of(1))]).toEqual([0, 0, null]);
  });

  test('wrong keys and budgets are typed errors', async () => {
    expect((await errorOf(() => new PrefixCache(model).put(Int32Array.of(1, 2), make([1], 10)))).code).toBe(
      'CACHE_KEY',
    );
    for (const maxBytes of [-1, 0.5, Number.NaN, '1' as never]) {
      expect((await errorOf(() => new PrefixCache(model, { maxBytes }))).code).toBe('INVALID_OPTION');
    }
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'equals a list searched from end to end, 3,000 random calls (seed %i)',
    (seed) => {
      const random = randomNumbers(seed);
      const below = (n: number): number => Math.floor(random() * n);
      const { make, alive } = ledger();
      const maxBytes = [0, 40, 100, 300, 1000, 5000][below(6)]!;
      const cache = new PrefixCache(model, { maxBytes });
      // The definition: kept prefixes, the least recently used first.
      let kept: { ids: number[]; bytes: number }[] = [];
      const startsWith = (ids: readonly number[], prefix: readonly number[]): boolean =>
        prefix.length <= ids.length && prefix.every((id, i) => ids[i] === id);
      const bytesOf = (list: typeof kept): number => {
        const prefixes = new Set(list.flatMap(({ ids }) => ids.map((_, i) => ids.slice(0, i + 1).join(','))));
        return list.reduce((sum, { bytes }) => sum + bytes, 4 * prefixes.size);
      };
      for (let call = 0; call < 3000; call++) {
        // Few ids and short texts, so that prefixes are shared, split and joined all the time.
        const ids = Array.from({ length: below(9) }, () => below(3));
        if (random() < 0.5) {
          const beyond = below(3);
          const longest = kept
            .filter((entry) => entry.ids.length > beyond && startsWith(ids, entry.ids))
            .reduce<(typeof kept)[0] | null>((a, b) => (a && a.ids.length > b.ids.length ? a : b), null);
          const state = cache.take(Int32Array.from(ids), beyond);
          expect(idsOf(state)).toEqual(longest?.ids ?? null);
          if (longest) kept = [...kept.filter((entry) => entry !== longest), longest];
          state?.dispose();
        } else {
          const bytes = 8 + below(40);
          const state = make(ids, bytes);
          const known = kept.find((entry) => entry.ids.join() === ids.join());
          const fits = ids.length > 0 && bytes + 4 * ids.length <= maxBytes;
          expect(cache.put(Int32Array.from(ids), state)).toBe(fits);
          state.dispose();
          if (fits && known) kept = [...kept.filter((entry) => entry !== known), known];
          if (fits && !known) {
            while (bytesOf([...kept, { ids, bytes }]) > maxBytes) kept.shift();
            kept.push({ ids, bytes });
          }
        }
        expect(cache.bytes).toBe(bytesOf(kept));
        expect(cache.bytes).toBeLessThanOrEqual(maxBytes);
        expect(cache.size).toBe(kept.length);
        expect(alive()).toBe(kept.length);
      }
      cache.clear();
      expect([cache.bytes, alive()]).toEqual([0, 0]);
    },
  );
});
