import type { Backend, StateField } from '../backend.ts';
import { isMambaError } from '../errors.ts';
import { columns, split } from '../tensor.ts';
import { matrix, vector } from '../weights.ts';
import { Random } from './random.ts';
import type { TestApi } from './suite.ts';
import { TOLERANCES } from './tolerance.ts';
import { encode, uploadWeight } from './weights.ts';

/** The code of the MambaError that `body` throws or rejects with; a description of anything else. */
export async function codeOf(body: () => unknown): Promise<string> {
  try {
    await body();
  } catch (error) {
    return isMambaError(error) ? error.code : `no MambaError: ${String(error)}`;
  }
  return 'no error';
}

/** The rules of memory, states and errors, on small sizes. */
export function contractTests(create: () => Promise<Backend>, { test, expect }: TestApi): void {
  const random = (): Random => new Random(1, 201);
  const on = (title: string, body: (backend: Backend) => Promise<void>): void => {
    test(title, async () => {
      const backend = await create();
      try {
        await body(backend);
      } finally {
        backend.dispose();
      }
    });
  };
  const list = (values: ArrayLike<number>): number[] => Array.from(values);
  const field: StateField = { name: 'conv', shape: [2, 1], offset: 0 };
  const taps = (b: Backend) => uploadWeight(b, vector('taps', [2, 2]), Float32Array.of(1, 10, 1, 10));

  on('describes itself: name, threads, and who serves each op', async (b) => {
    const d = b.describe();
    expect(d.name).toBe(b.name);
    expect(d.threads >= 1 && d.arithmetic.length > 0).toBe(true);
    expect(Object.keys(d.ops).sort()).toEqual(Object.keys(TOLERANCES).sort());
  });

  on('upload, views and read keep every bit', async (b) => {
    const values = random().floats(3 * 7);
    values.set([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 1e-45, 3.4e38], 0);
    const x = b.upload(values, [3, 7]);
    expect(list(await b.read(x))).toEqual(list(values));
    const [, middle] = split(x, [2, 4, 1]);
    const inner = columns(middle, 1, 2);
    expect(inner.shape).toEqual([3, 2]);
    expect(list(await b.read(inner))).toEqual([0, 7, 14].flatMap((row) => list(values.slice(row + 3, row + 5))));
    expect(list(await b.read(b.upload(new Float32Array(0), [0, 7])))).toEqual([]);
    values.fill(0);
    expect(Number.isNaN((await b.read(x))[0])).toBe(true);
  });

  on('inputs of an op are left as they were', async (b) => {
    const values = random().floats(12);
    const x = b.upload(values, [4, 3]);
    b.add(x, x);
    b.rmsNorm(x, null, 1e-5);
    expect(list(await b.read(x))).toEqual(list(values));
  });

  on('weights come in pieces of any size; f16 and bf16 decode exactly; a vector is mapped', async (b) => {
    const values = Float32Array.of(0.5, -2, 1.5, 3, -0.25, 1024);
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      for (const pieces of [1, 2, 3, 6]) {
        const w = uploadWeight(b, matrix('w', [3, 2]), values, dtype, pieces);
        expect(list(await b.read(b.embedding(Int32Array.of(0, 1, 2), w)))).toEqual(list(values));
        const v = uploadWeight(
          b,
          vector('v', [2], { map: (a) => a * 4 }),
          Float32Array.of(0.5, -2),
          dtype,
          Math.min(pieces, 2),
        );
        const x = b.upload(Float32Array.of(1, 1), [1, 2]);
        expect(list(await b.read(b.rmsNorm(x, v, 0)))).toEqual([2, -8]);
        expect(list(await b.readWeight(v))).toEqual([2, -8]);
        expect(await codeOf(() => b.readWeight(w))).toBe('ROLE');
        expect([w.name, w.role, list(w.shape), w.bytes > 0]).toEqual(['w', 'matrix', [3, 2], true]);
      }
    }
  });

  on('slots begin at zero and are written, read, copied and zeroed as a whole, each on its own', async (b) => {
    const [one, two] = [b.createSlot(5), b.createSlot(5)];
    expect(list(await b.readSlot(one))).toEqual([0, 0, 0, 0, 0]);
    b.writeSlot(one, Float32Array.of(1, 2, 3, 4, 5));
    expect(list(await b.readSlot(two))).toEqual([0, 0, 0, 0, 0]);
    b.copySlot(one, two);
    b.zeroSlot(one);
    expect(list(await b.readSlot(one))).toEqual([0, 0, 0, 0, 0]);
    expect(list(await b.readSlot(two))).toEqual([1, 2, 3, 4, 5]);
    (await b.readSlot(two)).fill(9);
    expect(list(await b.readSlot(two))).toEqual([1, 2, 3, 4, 5]);
    b.freeSlot(one);
    expect(list(await b.readSlot(two))).toEqual([1, 2, 3, 4, 5]);
    const again = b.createSlot(5);
    expect(list(await b.readSlot(again))).toEqual([0, 0, 0, 0, 0]);
  });

  on(
    'memory: endStep resets scratch; freeing returns weights and state to their level; weights outlive a step',
    async (b) => {
      const kept = uploadWeight(b, matrix('kept', [2, 2]), Float32Array.of(1, 2, 3, 4));
      b.endStep();
      const before = b.memory();
      for (let round = 0; round < 3; round++) {
        const w = uploadWeight(b, matrix('w', [33, 17]), random().floats(33 * 17), 'f16');
        const v = uploadWeight(b, vector('v', [33]), random().floats(33));
        const slot = b.createSlot(100);
        b.linear(b.upload(random().floats(34), [2, 17]), w, v);
        const during = b.memory();
        expect(during.weights - before.weights >= 33 * 17 * 2 + 33 * 4, 'weights grow').toBe(true);
        expect(during.state - before.state >= 400, 'state grows').toBe(true);
        expect(during.scratch > before.scratch, 'scratch grows').toBe(true);
        expect(during.total >= during.weights + during.state + during.scratch, 'total covers all').toBe(true);
        b.endStep();
        expect(b.memory().scratch).toBe(before.scratch);
        expect(b.memory().weights).toBe(during.weights);
        b.freeWeight(w);
        b.freeWeight(v);
        b.freeSlot(slot);
        const writer = b.createWeight(matrix('broken off', [9, 9]), 'f32');
        writer.write(encode(random().floats(20), 'f32'));
        writer.abort();
        expect(b.memory().weights).toBe(before.weights);
        expect(b.memory().state).toBe(before.state);
      }
      expect(list(await b.read(b.embedding(Int32Array.of(1), kept)))).toEqual([3, 4]);
    },
  );

  on(
    'rows of caches: reserved, written, read and copied as they are; their bytes are counted and given back',
    async (b) => {
      const caches = [
        { name: 'one', heads: 2, width: 3, offset: 0 },
        { name: 'other', heads: 1, width: 9, offset: 12 },
      ];
      const before = b.memory().state;
      const slot = b.createSlot(5, caches);
      expect(slot.rows).toBe(0);
      expect(b.memory().state - before).toBe(slot.bytes);
      const values = random().floats(5 + 70 * 30);
      b.writeSlot(slot, values);
      expect(slot.rows >= 70, 'rows reserved').toBe(true);
      expect(slot.bytes >= 4 * values.length, 'bytes grow').toBe(true);
      expect(b.memory().state - before).toBe(slot.bytes);
      expect(list(await b.readSlot(slot, 70))).toEqual(list(values));
      expect(list(await b.readSlot(slot, 2))).toEqual(list(values.subarray(0, 65)));
      expect(list(await b.readSlot(slot))).toEqual(list(values.subarray(0, 5)));
      b.reserveRows(slot, 200);
      expect(slot.rows >= 200).toBe(true);
      expect(list(await b.readSlot(slot, 70))).toEqual(list(values));
      const copy = b.createSlot(5, caches);
      b.copySlot(slot, copy, 69);
      b.zeroSlot(slot);
      expect((await b.readSlot(slot, 200)).every((value) => value === 0)).toBe(true);
      expect(list(await b.readSlot(copy, 69))).toEqual(list(values.subarray(0, 5 + 69 * 30)));
      expect(await codeOf(() => b.readSlot(copy, copy.rows + 1))).toBe('SHAPE');
      expect(await codeOf(() => b.copySlot(copy, slot, copy.rows + 1))).toBe('SHAPE');
      expect(await codeOf(() => b.writeSlot(copy, new Float32Array(5 + 31)))).toBe('SHAPE');
      expect(await codeOf(() => b.copySlot(copy, b.createSlot(5)))).toBe('SHAPE');
      expect(await codeOf(() => b.createSlot(5, [{ ...caches[0]!, offset: 1 }]))).toBe('SHAPE');
      expect(await codeOf(() => b.reserveRows(copy, -1))).toBe('SHAPE');
      b.freeSlot(slot);
      expect(await codeOf(() => b.reserveRows(slot, 1))).toBe('FOREIGN');
      b.freeSlot(copy);
      expect(b.memory().state - before <= 20, 'all given back').toBe(true);
    },
  );

  on(
    'attention without reserved rows, another cache or a wrong position throws SHAPE and changes no row',
    async (b) => {
      const cache = { name: 'cache', heads: 1, width: 2, offset: 0 };
      const slot = b.createSlot(0, [cache]);
      b.writeSlot(slot, Float32Array.of(1, 2, 3, 4));
      const x = b.upload(Float32Array.of(1, 2), [1, 2]);
      const run = (position: number, field = cache, reset = false) =>
        codeOf(() => b.attention(x, x, x, 1, field, [{ start: 0, length: 1, slot, reset, position }]));
      expect(await run(slot.rows)).toBe('SHAPE');
      expect(await run(-1)).toBe('SHAPE');
      expect(await run(1, cache, true)).toBe('SHAPE');
      expect(await run(0, { ...cache, offset: 4 })).toBe('SHAPE');
      expect(await run(0, { ...cache, heads: 2 })).toBe('SHAPE');
      expect(list(await b.readSlot(slot, 1))).toEqual([1, 2, 3, 4]);
      expect(await run(0)).toBe('no error');
      expect(list(await b.readSlot(slot, 1))).toEqual([1, 2, 1, 2]);
    },
  );

  on('ids outside the vocabulary throw TOKEN_ID', async (b) => {
    const w = uploadWeight(b, matrix('w', [3, 2]), random().floats(6));
    for (const id of [-1, 3, 2 ** 31 - 1, -(2 ** 31)]) {
      expect(await codeOf(() => b.embedding(Int32Array.of(0, id), w))).toBe('TOKEN_ID');
    }
  });

  on('missing, surplus and halved bytes throw TENSOR_SIZE', async (b) => {
    const spec = matrix('w', [3, 2]);
    const short = b.createWeight(spec, 'f16');
    short.write(new Uint8Array(10));
    expect(await codeOf(() => short.finish())).toBe('TENSOR_SIZE');
    const long = b.createWeight(spec, 'f16');
    long.write(new Uint8Array(10));
    expect(await codeOf(() => long.write(new Uint8Array(4)))).toBe('TENSOR_SIZE');
    const halved = b.createWeight(spec, 'f32');
    expect(await codeOf(() => halved.write(new Uint8Array(6)))).toBe('TENSOR_SIZE');
  });

  on('shapes that do not fit throw SHAPE; a vector as a matrix throws ROLE', async (b) => {
    const w = uploadWeight(b, matrix('w', [3, 2]), random().floats(6));
    const v = uploadWeight(b, vector('v', [2]), random().floats(2));
    const wide = b.upload(new Float32Array(8), [2, 4]);
    const x = b.upload(new Float32Array(4), [2, 2]);
    expect(await codeOf(() => b.linear(wide, w, null))).toBe('SHAPE');
    expect(await codeOf(() => b.linear(x, w, v))).toBe('SHAPE');
    expect(await codeOf(() => b.linear(x, v, null))).toBe('ROLE');
    expect(await codeOf(() => b.rmsNorm(wide, v, 1e-5))).toBe('SHAPE');
    expect(await codeOf(() => b.add(x, wide))).toBe('SHAPE');
    expect(await codeOf(() => b.logits(x, w, Int32Array.of(2), 3))).toBe('SHAPE');
    expect(await codeOf(() => b.logits(x, w, Int32Array.of(-1), 3))).toBe('SHAPE');
    expect(await codeOf(() => b.logits(x, w, Int32Array.of(0), 4))).toBe('SHAPE');
    expect(await codeOf(() => b.upload(new Float32Array(5), [2, 2]))).toBe('SHAPE');
    expect(await codeOf(() => b.writeSlot(b.createSlot(3), new Float32Array(2)))).toBe('SHAPE');
    expect(await codeOf(() => b.copySlot(b.createSlot(3), b.createSlot(2)))).toBe('SHAPE');
  });

  on('segments that leave rows out, overlap, or do not fit their slot throw SHAPE and change no state', async (b) => {
    const w = taps(b);
    const x = b.upload(new Float32Array(8).fill(7), [4, 2]);
    const slot = b.createSlot(2);
    const run = (...segments: [start: number, length: number][]): Promise<string> =>
      codeOf(() =>
        b.causalConv1d(
          x,
          w,
          null,
          'none',
          field,
          segments.map(([start, length]) => ({ start, length, slot, reset: true })),
        ),
      );
    b.writeSlot(slot, Float32Array.of(1, 2));
    expect(await run([0, 3])).toBe('SHAPE');
    expect(await run([0, 5])).toBe('SHAPE');
    expect(await run([0, 2], [1, 3])).toBe('SHAPE');
    expect(await run([0, 1], [2, 2])).toBe('SHAPE');
    expect(await run()).toBe('SHAPE');
    const late = { ...field, offset: 1 };
    const whole = [{ start: 0, length: 4, slot, reset: true }];
    expect(await codeOf(() => b.causalConv1d(x, w, null, 'none', late, whole))).toBe('SHAPE');
    const wide = { ...field, shape: [2, 2] };
    expect(await codeOf(() => b.causalConv1d(x, w, null, 'none', wide, whole))).toBe('SHAPE');
    expect(list(await b.readSlot(slot))).toEqual([1, 2]);
  });

  on('a slot or weight that was freed, or of another backend, throws FOREIGN', async (b) => {
    const other = await create();
    try {
      const x = b.upload(Float32Array.of(1, 2), [1, 2]);
      const freed = taps(b);
      b.freeWeight(freed);
      expect(await codeOf(() => b.freeWeight(freed))).toBe('FOREIGN');
      const slot = b.createSlot(2);
      b.freeSlot(slot);
      const segments = (s: typeof slot) => [{ start: 0, length: 1, slot: s, reset: false }];
      const w = taps(b);
      expect(await codeOf(() => b.freeSlot(slot))).toBe('FOREIGN');
      expect(await codeOf(() => b.readSlot(slot))).toBe('FOREIGN');
      expect(await codeOf(() => b.causalConv1d(x, w, null, 'none', field, segments(slot)))).toBe('FOREIGN');
      const foreign = segments(other.createSlot(2));
      expect(await codeOf(() => b.causalConv1d(x, w, null, 'none', field, foreign))).toBe('FOREIGN');
      expect(await codeOf(() => b.causalConv1d(x, freed, null, 'none', field, segments(b.createSlot(2))))).toBe(
        'FOREIGN',
      );
      const theirs = other.upload(Float32Array.of(1, 2), [1, 2]);
      expect(await codeOf(() => b.add(x, theirs))).toBe('FOREIGN');
    } finally {
      other.dispose();
    }
  });

  on('a scratch tensor used after endStep throws STALE_TENSOR', async (b) => {
    const x = b.upload(Float32Array.of(1, 2), [1, 2]);
    b.endStep();
    expect(await codeOf(() => b.add(x, x))).toBe('STALE_TENSOR');
    expect(await codeOf(() => b.read(columns(x, 0, 1)))).toBe('STALE_TENSOR');
  });

  on('every call after dispose throws DISPOSED', async (b) => {
    const w = taps(b);
    const x = b.upload(Float32Array.of(1, 2), [1, 2]);
    const slot = b.createSlot(2);
    const segments = [{ start: 0, length: 1, slot, reset: false }];
    const calls: Record<string, () => unknown> = {
      createWeight: () => b.createWeight(vector('v', [1]), 'f32'),
      freeWeight: () => b.freeWeight(w),
      createSlot: () => b.createSlot(1),
      freeSlot: () => b.freeSlot(slot),
      reserveRows: () => b.reserveRows(slot, 1),
      copySlot: () => b.copySlot(slot, slot),
      zeroSlot: () => b.zeroSlot(slot),
      readSlot: () => b.readSlot(slot),
      writeSlot: () => b.writeSlot(slot, new Float32Array(2)),
      upload: () => b.upload(new Float32Array(1), [1, 1]),
      read: () => b.read(x),
      add: () => b.add(x, x),
      rmsNorm: () => b.rmsNorm(x, null, 1e-5),
      causalConv1d: () => b.causalConv1d(x, w, null, 'none', field, segments),
      memory: () => b.memory(),
      endStep: () => b.endStep(),
    };
    b.dispose();
    for (const [name, call] of Object.entries(calls))
      expect(`${name}: ${await codeOf(call)}`).toBe(`${name}: DISPOSED`);
  });
}
