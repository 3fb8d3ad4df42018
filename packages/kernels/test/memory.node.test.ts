import { createWasmBackend } from '@mamba-ts/kernels';
import { type Backend, isMambaError, matrix, reshape, type Slot, vector } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { uploadWeight } from '@mamba-ts/tensor/testing';
import { describe, expect, test } from 'vitest';
import { VARIANTS } from './builds.ts';

const GiB = 2 ** 30;

/** Some of every op, from fresh weights and a fresh slot: its numbers. */
async function exercise(backend: Backend): Promise<number[]> {
  const values = (length: number, seed: number): Float32Array =>
    Float32Array.from({ length }, (_, i) => (((i + seed) * 37) % 101) / 50 - 1);
  const [tokens, channels, states] = [5, 24, 16];
  const w = uploadWeight(backend, matrix('w', [3 * channels, channels]), values(3 * channels * channels, 1), 'f16');
  const taps = uploadWeight(backend, vector('taps', [channels, 4]), values(4 * channels, 2));
  const A = uploadWeight(
    backend,
    vector('A', [channels, states], { map: (x) => -Math.exp(x) }),
    values(channels * states, 3),
  );
  const norm = uploadWeight(backend, vector('norm', [channels]), values(channels, 4));
  const cache = { name: 'cache', heads: 2, width: 12, offset: 0 };
  const slot = backend.createSlot(channels * (states + 3), [cache]);
  backend.reserveRows(slot, 70);
  const segments = [{ start: 0, length: tokens, slot, reset: false, position: 65 }];
  const x = backend.rmsNorm(backend.embedding(Int32Array.of(1, 5, 9, 2, 70), w), norm, 1e-5);
  const conv = backend.causalConv1d(x, taps, null, 'silu', { name: 'conv', shape: [channels, 3], offset: 0 }, segments);
  const BC = backend.upload(values(tokens * states, 5), [tokens, states]);
  const h = { name: 'h', shape: [channels, states], offset: 3 * channels };
  const y = backend.selectiveScan(conv, x, A, BC, BC, norm, x, norm, true, h, segments);
  const heads = reshape(backend.layerNorm(backend.gelu(y, 'erf'), norm, norm, 1e-5), 2 * tokens, 12);
  const turned = backend.rope(heads, Float64Array.of(1, 0.1), 'halves', segments);
  const seen = reshape(backend.attention(turned, turned, heads, 0.3, cache, segments), tokens, channels);
  const logits = backend.logits(backend.add(x, seen), w, Int32Array.of(0, 4), 70);
  const out = [...(await backend.read(logits)), ...(await backend.readSlot(slot, 70))];
  backend.endStep();
  for (const weight of [w, taps, A, norm]) backend.freeWeight(weight);
  backend.freeSlot(slot);
  return out;
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'no error';
  } catch (error) {
    return isMambaError(error) ? error.code : String(error);
  }
};

describe.each(VARIANTS)('$name', ({ name: _, ...options }) => {
  test('addresses past 2 GiB give the same bits; the end of the 4 GiB is OUT_OF_MEMORY, and what was freed serves again', async () => {
    const backend = await createWasmBackend(options);
    const low = await exercise(backend);
    expect(low.some((value) => value !== 0)).toBe(true);
    const blocks: Slot[] = [];
    const fill = (until: number): void => {
      while (backend.memory().state < until) blocks.push(backend.createSlot(GiB / 16));
    };
    fill(2.25 * GiB);
    expect(await exercise(backend)).toEqual(low);
    expect(codeOf(() => fill(5 * GiB))).toBe('OUT_OF_MEMORY');
    expect(backend.memory().state).toBeGreaterThan(3.25 * GiB);
    expect(codeOf(() => backend.createWeight(matrix('large', [2 ** 14, 2 ** 16]), 'f32'))).toBe('OUT_OF_MEMORY');
    backend.freeSlot(blocks.pop()!);
    expect(await exercise(backend)).toEqual(low);
    const grown = backend.createSlot(1, [{ name: 'wide', heads: 1, width: 4096, offset: 0 }]);
    backend.writeSlot(grown, new Float32Array(1 + 8192).fill(7));
    const before = [grown.rows, grown.bytes, backend.memory().state];
    expect(codeOf(() => backend.reserveRows(grown, 100_000))).toBe('OUT_OF_MEMORY');
    expect([grown.rows, grown.bytes, backend.memory().state]).toEqual(before);
    expect((await backend.readSlot(grown, 1)).every((value) => value === 7)).toBe(true);
    backend.freeSlot(grown);
    for (const slot of blocks) backend.freeSlot(slot);
    expect(backend.memory()).toMatchObject({ weights: 0, state: 0, scratch: 0 });
    backend.dispose();
  }, 120_000);

  test('a hundred steps take no memory that the first did not', async () => {
    const backend = await createWasmBackend(options);
    await exercise(backend);
    const { total } = backend.memory();
    for (let i = 0; i < 100; i++) await exercise(backend);
    expect(backend.memory()).toEqual({ weights: 0, state: 0, scratch: 0, total });
    backend.dispose();
  });

  test('backends have memories of their own', async () => {
    const [a, b] = [await createWasmBackend(options), await createWasmBackend(options)];
    a.createSlot(1000);
    expect(b.memory().state).toBe(0);
    a.dispose();
    expect(await exercise(b)).toEqual(await exercise(b));
    b.dispose();
  });

  test('f16 weights with an infinity or a NaN go on as f32 and say so', async () => {
    for (const odd of [Number.POSITIVE_INFINITY, Number.NaN]) {
      const results = [];
      for (const backend of [await createWasmBackend(options), createReferenceBackend()]) {
        const values = Float32Array.of(1, 2, odd, 4, 5, 6);
        const w = uploadWeight(backend, matrix('w', [3, 2]), values, 'f16');
        if (backend.name !== 'reference') expect(w.dtype).toBe('f32');
        results.push([...(await backend.read(backend.linear(backend.upload(Float32Array.of(1, 1), [1, 2]), w, null)))]);
        backend.dispose();
      }
      expect(results[0]).toEqual(results[1]);
    }
  });

  test('f16 weights against activations of 1e5 and 1e30 are within 1e-6 of f64', async () => {
    for (const scale of [1e5, 1e30]) {
      const backend = await createWasmBackend(options);
      const exact = createReferenceBackend({ precision: 'f64' });
      const values = Float32Array.from({ length: 33 * 17 }, (_, i) => ((i * 7) % 13) - 6);
      const x = Float32Array.from({ length: 17 }, (_, i) => scale * (i - 5));
      const rows = [];
      for (const on of [backend, exact]) {
        const w = uploadWeight(on, matrix('w', [33, 17]), values, 'f16');
        rows.push(await on.read(on.linear(on.upload(x, [1, 17]), w, null)));
      }
      for (const [i, value] of rows[0]!.entries()) {
        expect(Math.abs(value - rows[1]![i]!)).toBeLessThanOrEqual(1e-6 * scale * 17 * 36);
      }
      backend.dispose();
    }
  });
});
