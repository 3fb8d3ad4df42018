import { createWasmBackend, type WasmOptions } from '@mamba-ts/kernels';
import { matrix, type Slot, vector } from '@mamba-ts/tensor';
import { uploadWeight } from '@mamba-ts/tensor/testing';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { BUILDS } from './builds.ts';

afterEach(() => vi.unstubAllGlobals());

const values = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, i) => ((((i + seed) * 37) % 101) / 50 - 1) / 4);

/** Numbers of every op that is split, for `tokens` tokens and then for one, in the bits that they have. */
async function bits(options: WasmOptions, tokens: number): Promise<Uint32Array[]> {
  const b = await createWasmBackend(options);
  const [channels, states, heads, width] = [136, 16, 17, 8];
  const w = uploadWeight(b, matrix('w', [203, channels]), values(203 * channels, 1), 'f16');
  const bias = uploadWeight(b, vector('bias', [203]), values(203, 2));
  const taps = uploadWeight(b, vector('taps', [channels, 4]), values(4 * channels, 3));
  const A = uploadWeight(
    b,
    vector('A', [channels, states], { map: (x) => -Math.exp(x) }),
    values(channels * states, 4),
  );
  const decay = uploadWeight(b, vector('decay', [heads], { map: (x) => -Math.exp(x) }), values(heads, 5));
  const skip = uploadWeight(b, vector('skip', [channels]), values(channels, 6));
  const headBias = uploadWeight(b, vector('headBias', [heads]), values(heads, 7));
  const cache = { name: 'cache', heads, width, offset: 0 };
  const slot: Slot = b.createSlot(channels * (3 + 2 * states), [cache]);
  b.reserveRows(slot, tokens + 1);
  const skipping = { below: 0.5, updates: 0, skipped: 0 };
  const out: Uint32Array[] = [];
  const keep = async (x: Parameters<typeof b.read>[0]): Promise<void> => {
    out.push(new Uint32Array((await b.read(x)).buffer));
  };
  for (const [length, position] of [
    [tokens, 0],
    [1, tokens],
  ] as const) {
    const segments = [{ start: 0, length, slot, reset: false, position }];
    const x = b.upload(values(length * channels, 8 + position), [length, channels]);
    const few = (count: number): ReturnType<typeof b.upload> =>
      b.upload(values(length * count, 9 + position), [length, count]);
    await keep(b.linear(x, w, bias));
    await keep(b.logits(x, w, Int32Array.of(length - 1), 199));
    await keep(b.causalConv1d(x, taps, null, 'silu', { name: 'conv', shape: [channels, 3], offset: 0 }, segments));
    const h = { name: 'h', shape: [channels, states], offset: 3 * channels };
    await keep(b.selectiveScan(x, x, A, few(states), few(states), skip, x, skip, true, h, segments));
    await keep(b.selectiveScan(x, x, A, few(states), few(states), skip, x, skip, true, h, segments, skipping));
    const s = { name: 's', shape: [heads, width, states], offset: channels * (3 + states) };
    const bounds: [number, number] = [0, Number.POSITIVE_INFINITY];
    const rest = [headBias, headBias, bounds, s, segments] as const;
    await keep(b.ssd(x, few(heads), decay, few(states), few(states), ...rest));
    await keep(b.ssd(x, few(heads), decay, few(states), few(states), ...rest, skipping));
    const rows = b.upload(values(length * channels, 10 + position), [length * heads, width]);
    await keep(b.attention(rows, rows, rows, 0.3, cache, segments));
    b.endStep();
  }
  out.push(new Uint32Array((await b.readSlot(slot, tokens + 1)).buffer));
  expect(skipping.skipped).toBeGreaterThan(0);
  out.push(Uint32Array.from({ length: 11 }, (_, i) => skipping.skipped + i));
  b.dispose();
  return out;
}

describe.each(BUILDS)('%s', (build) => {
  test.each([5, 67])('the same bits on 1, 2 and 3 threads, after %d tokens and one more', async (tokens) => {
    const alone = await bits({ build }, tokens);
    expect(alone.every((numbers) => new Set(numbers).size > 10)).toBe(true);
    for (const threads of [2, 3]) expect(await bits({ build, threads, grain: 1 }, tokens)).toEqual(alone);
  });
});

test('describes how many threads there are', async () => {
  for (const threads of [1, 2, 5]) {
    const backend = await createWasmBackend({ threads });
    expect(backend.describe()).toMatchObject({ threads });
    expect(backend.describe()).not.toHaveProperty('note');
    backend.dispose();
  }
  const backend = await createWasmBackend({ threads: 'auto' });
  expect(backend.describe().threads).toBeGreaterThanOrEqual(1);
  backend.dispose();
});

test('where the page is not cross-origin isolated, one thread runs and a note says why', async () => {
  vi.stubGlobal('crossOriginIsolated', false);
  const backend = await createWasmBackend({ threads: 2 });
  expect(backend.describe()).toMatchObject({
    threads: 1,
    note: expect.stringContaining('one thread instead of 2: this page is not cross-origin isolated'),
  });
  backend.dispose();
  const alone = await createWasmBackend({ threads: 1 });
  expect(alone.describe()).not.toHaveProperty('note');
  alone.dispose();
});

test.each([0, -1, 1.5, 65, Number.NaN, 'many'])('threads: %s is refused with INVALID_OPTION', async (threads) => {
  await expect(createWasmBackend({ threads: threads as number })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
});
