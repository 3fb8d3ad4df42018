import { createWasmTrainingBackend } from '@mamba-ts/kernels';
import { type BackwardSegment, matrix, type Tensor, vector } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';
import { Bench, type Case, size, testCases, values } from './training-bench.ts';

const linear =
  (tokens: number, inputs: number, outputs: number): Case =>
  async (bench) => {
    const w = bench.weight(matrix('w', [outputs, inputs]));
    const bias = bench.weight(vector('bias', [outputs]));
    const dx = bench.gradient('x', tokens, inputs);
    const x = bench.tensor('x', tokens, inputs);
    for (const into of [dx, null]) bench.backend.linearBackward(x, w, bias, bench.tensor('dy', tokens, outputs), into);
    await bench.keep('dx', dx);
  };

const frozen: Case = async (bench) => {
  const w = bench.weight(matrix('w', [9, 10]), 1, false);
  const dx = bench.gradient('x', 3, 10);
  bench.backend.linearBackward(bench.tensor('x', 3, 10), w, null, bench.tensor('dy', 3, 9), dx);
  await bench.keep('dx', dx);
};

const embedding: Case = async (bench) => {
  const w = bench.weight(matrix('w', [11, 7]));
  bench.backend.embeddingBackward(Int32Array.of(3, 0, 3, 10), w, bench.tensor('dy', 4, 7));
};

const rmsNorm =
  (columns: number, groups: number, length: number | null): Case =>
  async (bench) => {
    const w = length === null ? null : bench.weight(vector('w', [length]));
    const dx = bench.gradient('x', 5, columns);
    for (const into of [dx, null]) {
      bench.backend.rmsNormBackward(
        bench.tensor('x', 5, columns),
        w,
        1e-3,
        groups,
        bench.tensor('dy', 5, columns),
        into,
      );
    }
    await bench.keep('dx', dx);
  };

const conv =
  (channels: number, taps: number, silu: boolean, lengths: [number, number, number, number]): Case =>
  async (bench) => {
    const rows = size([lengths.reduce((sum, length) => sum + length, 0)]);
    const field = { name: 'conv', shape: [channels, taps - 1], offset: 4 };
    const { all, keep } = bench.segments([field], lengths);
    const w = bench.weight(vector('w', [channels, taps]));
    const bias = silu ? bench.weight(vector('bias', [channels])) : null;
    const dx = bench.gradient('x', rows, channels);
    const [x, dy] = [bench.tensor('x', rows, channels, 3), bench.tensor('dy', rows, channels)];
    bench.backend.causalConv1dBackward(x, w, bias, silu ? 'silu' : 'none', field, all, dy, dx);
    await bench.keep('dx', dx);
    await keep();
  };

const scan =
  (channels: number, states: number, full: boolean, lengths: [number, number, number, number]): Case =>
  async (bench) => {
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    const field = { name: 'ssm', shape: [channels, states], offset: 4 };
    const { all, keep } = bench.segments([field], lengths);
    const A = bench.weight(vector('A', [channels, states], { map: (value) => -Math.exp(value) }), 2);
    const D = full ? bench.weight(vector('D', [channels])) : null;
    const bias = full ? bench.weight(vector('bias', [channels])) : null;
    const z = full ? bench.tensor('z', rows, channels, 4) : null;
    const names = { u: channels, delta: channels, B: states, C: states, z: channels } as const;
    const gradients = Object.fromEntries(
      Object.entries(names).map(([name, width]) => [
        name,
        name === 'z' && !full ? null : bench.gradient(name, rows, width),
      ]),
    ) as Record<keyof typeof names, Tensor | null>;
    const delta = bench.tensor('delta', rows, channels, full ? 3 : 0.5);
    const [u, B, C] = [
      bench.tensor('u', rows, channels),
      bench.tensor('B', rows, states),
      bench.tensor('C', rows, states),
    ];
    const dy = bench.tensor('dy', rows, channels);
    bench.backend.selectiveScanBackward(u, delta, A, B, C, D, z, bias, full, field, all, dy, gradients);
    for (const [name, gradient] of Object.entries(gradients)) if (gradient) await bench.keep(name, gradient);
    await keep();
  };

const ssd =
  (
    [heads, width, states, groups]: readonly [number, number, number, number],
    skip: 'none' | 'head' | 'channel',
    limit: readonly [number, number],
    lengths: [number, number, number, number],
  ): Case =>
  async (bench) => {
    const rows = lengths.reduce((sum, length) => sum + length, 0);
    const field = { name: 'ssm', shape: [heads, width, states], offset: 4 };
    const { all, keep } = bench.segments([field], lengths);
    const A = bench.weight(vector('A', [heads], { map: (value) => -Math.exp(value) }), 2);
    const D = skip === 'none' ? null : bench.weight(vector('D', [skip === 'head' ? heads : heads * width]));
    const bias = skip === 'none' ? null : bench.weight(vector('bias', [heads]));
    const names = { x: heads * width, dt: heads, B: groups * states, C: groups * states } as const;
    const inputs = Object.fromEntries(
      Object.entries(names).map(([name, columns]) => [name, bench.tensor(name, rows, columns, name === 'dt' ? 3 : 1)]),
    ) as Record<keyof typeof names, Tensor>;
    const gradients = Object.fromEntries(
      Object.entries(names).map(([name, columns]) => [name, bench.gradient(name, rows, columns)]),
    ) as Record<keyof typeof names, Tensor>;
    const dy = bench.tensor('dy', rows, heads * width);
    const { x, dt, B, C } = inputs;
    bench.backend.ssdBackward(x, dt, A, B, C, D, bias, limit, field, all, dy, gradients);
    for (const [name, gradient] of Object.entries(gradients)) await bench.keep(name, gradient);
    await keep();
  };

const layerNorm =
  (columns: number, withBias: boolean): Case =>
  async (bench) => {
    const w = bench.weight(vector('w', [columns]));
    const bias = withBias ? bench.weight(vector('bias', [columns])) : null;
    const dx = bench.gradient('x', 5, columns);
    for (const into of [dx, null]) {
      bench.backend.layerNormBackward(
        bench.tensor('x', 5, columns),
        w,
        bias,
        1e-3,
        bench.tensor('dy', 5, columns),
        into,
      );
    }
    await bench.keep('dx', dx);
  };

const gelu =
  (form: 'erf' | 'tanh'): Case =>
  async (bench) => {
    const dx = bench.gradient('x', 7, 9);
    bench.backend.geluBackward(bench.tensor('x', 7, 9, 5), form, bench.tensor('dy', 7, 9), dx);
    await bench.keep('dx', dx);
  };

const rope =
  (rotation: 'halves' | 'pairs', width: number, turned: number): Case =>
  async (bench) => {
    const slot = bench.backend.createSlot(0);
    const segments = [
      { start: 0, length: 3, slot, reset: false, position: 5 },
      { start: 3, length: 2, slot, reset: true },
    ];
    const frequencies = Float64Array.from({ length: turned }, (_, i) => 1 / 3 ** i);
    const dx = bench.gradient('x', 10, width);
    bench.backend.ropeBackward(frequencies, rotation, segments, bench.tensor('dy', 10, width), dx);
    await bench.keep('dx', dx);
  };

/** Two sequences; `before`: rows that the first finds in its cache, `behind`: a gradient to rows that the pass left. */
const attention =
  (
    [heads, group, width]: readonly [number, number, number],
    lengths: readonly [number, number],
    before = 0,
    behind = false,
    size = 2,
  ): Case =>
  async (bench) => {
    const { backend } = bench;
    const caches = [
      { name: 'other', heads: 1, width: 3, offset: 0 },
      { name: 'own', heads, width, offset: 6 },
    ];
    const row = 6 + 2 * heads * width;
    const slotOf = (name: string, rows: number, filled: number): BackwardSegment['slot'] => {
      const slot = backend.createSlot(0, caches);
      backend.reserveRows(slot, rows);
      if (filled > 0) backend.writeSlot(slot, values(name, filled * row));
      return slot;
    };
    const gradientRows = [before + lengths[0], lengths[1]] as const;
    const segments: BackwardSegment[] = lengths.map((length, i) => ({
      start: i === 0 ? 0 : lengths[0],
      length,
      position: i === 0 ? before : 0,
      reset: i === 1,
      slot: slotOf(`s${i}`, 1, i === 0 ? before : 0),
      gradient: slotOf(`g${i}`, gradientRows[i]!, behind ? gradientRows[i]! : 0),
    }));
    const tokens = lengths[0] + lengths[1];
    const shapes = { q: tokens * heads * group, k: tokens * heads, v: tokens * heads } as const;
    const make = (of: (name: string, rows: number) => Tensor) =>
      Object.fromEntries(Object.entries(shapes).map(([name, rows]) => [name, of(name, rows)])) as Record<
        keyof typeof shapes,
        Tensor
      >;
    const { q, k, v } = make((name, rows) => bench.tensor(name, rows, width, size));
    const gradients = make((name, rows) => bench.gradient(name, rows, width));
    const dy = bench.tensor('dy', shapes.q, width);
    backend.attentionBackward(q, k, v, 0.7, caches[1]!, segments, dy, gradients);
    for (const [name, gradient] of Object.entries(gradients)) await bench.keep(name, gradient);
    for (const [i, { gradient }] of segments.entries()) {
      bench.results.set(`rows ${i}`, await backend.readSlot(gradient, gradientRows[i]!));
    }
  };

const siluGate: Case = async (bench) => {
  const [dx, dgate] = [bench.gradient('x', 3, 9), bench.gradient('gate', 3, 9)];
  const [x, gate, dy] = [bench.tensor('x', 3, 9), bench.tensor('gate', 3, 9, 8), bench.tensor('dy', 3, 9)];
  bench.backend.siluGateBackward(x, gate, dy, { x: dx, gate: dgate });
  bench.backend.siluGateBackward(x, gate, dy, { x: null, gate: null });
  await bench.keep('dx', dx);
  await bench.keep('dgate', dgate);
};

const add: Case = async (bench) => {
  const [a, b] = [bench.gradient('a', 3, 9), bench.gradient('b', 3, 9)];
  bench.backend.addBackward(bench.tensor('dy', 3, 9), { a, b });
  bench.backend.addBackward(bench.tensor('dy', 3, 9), { a: null, b });
  await bench.keep('da', a);
  await bench.keep('db', b);
};

const concat: Case = async (bench) => {
  const [a, b] = [bench.gradient('a', 3, 9), bench.gradient('b', 3, 2)];
  for (const into of [
    { a, b },
    { a, b: null },
    { a: null, b },
  ]) {
    bench.backend.concatBackward(bench.tensor('dy', 3, 11), into);
  }
  await bench.keep('da', a);
  await bench.keep('db', b);
};

const dropout: Case = async (bench) => {
  const mask = { seed: 2 ** 35 + 1, step: 2 ** 33 + 5, site: 3 };
  const dx = bench.gradient('x', 7, 13);
  bench.backend.dropoutBackward(0.25, mask, bench.tensor('dy', 7, 13), dx);
  await bench.keep('dx', dx);
  await bench.keep('y', bench.backend.dropout(bench.tensor('x', 7, 13), 0.25, mask));
};

const crossEntropy =
  (rows: readonly number[], vocabSize: number, size = 2): Case =>
  async (bench) => {
    const tokens = Math.max(...rows) + 2;
    const w = bench.weight(matrix('w', [vocabSize + 3, 10]), 3);
    const dx = bench.gradient('x', tokens, 10);
    const x = bench.tensor('x', tokens, 10, size);
    const asked = Int32Array.from(rows);
    const targets = asked.map((row) => (row * 7) % vocabSize);
    await bench.keep('losses', bench.backend.crossEntropy(x, w, asked, targets, vocabSize));
    const dy = bench.tensor('dy', rows.length, 1);
    for (const into of [dx, null]) bench.backend.crossEntropyBackward(x, w, asked, targets, vocabSize, dy, into);
    await bench.keep('dx', dx);
  };

// Around the 8 columns of a panel, the 384 and 128 of a block; the 128 tokens of a scan's chunk; lanes of 4 and 16.
const cases: Readonly<Record<string, Case>> = {
  'linear 1 x 1 x 1': linear(1, 1, 1),
  'linear 5 x 7 x 9': linear(5, 7, 9),
  'linear 129 x 8 x 16': linear(129, 8, 16),
  'linear 385 x 17 x 130': linear(385, 17, 130),
  'linear 3 x 33 x 385': linear(3, 33, 385),
  'a frozen weight': frozen,
  embedding,
  'rmsNorm 16': rmsNorm(16, 1, 16),
  'rmsNorm 7, no weight': rmsNorm(7, 1, null),
  'rmsNorm 3 groups of 5, weight of 5': rmsNorm(15, 3, 5),
  'rmsNorm 4 groups of 3, weight of 6': rmsNorm(12, 4, 6),
  'conv 9 channels, 4 taps': conv(9, 4, true, [5, 3, 2, 7]),
  'conv 4 channels, 3 taps, shorter than its taps': conv(4, 3, true, [1, 1, 0, 1]),
  'conv 5 channels, 1 tap, plain': conv(5, 1, false, [2, 0, 3, 1]),
  'conv 8 channels, 2 taps, plain': conv(8, 2, false, [3, 1, 4, 1]),
  'scan 5 channels, 16 states': scan(5, 16, true, [7, 3, 2, 4]),
  'scan 17 channels, 17 states': scan(17, 17, true, [1, 1, 0, 2]),
  'scan 16 channels, 4 states, past two chunks': scan(16, 4, true, [520, 1, 256, 257]),
  'scan 3 channels, 33 states, plain': scan(3, 33, false, [5, 0, 3, 130]),
  'scan 1 channel, 1 state': scan(1, 1, true, [3, 2, 1, 2]),
  'ssd 2 heads of 3, 16 states': ssd([2, 3, 16, 1], 'head', [0, Number.POSITIVE_INFINITY], [7, 3, 2, 4]),
  'ssd 4 heads of 1, 5 states, 2 groups, limits': ssd([4, 1, 5, 2], 'channel', [0.3, 1.5], [4, 0, 3, 2]),
  'ssd 1 head of 2, 33 states, past two chunks': ssd([1, 2, 33, 1], 'none', [0, 9], [260, 1, 128, 129]),
  'layerNorm 16': layerNorm(16, true),
  'layerNorm 7, no bias': layerNorm(7, false),
  'gelu erf': gelu('erf'),
  'gelu tanh': gelu('tanh'),
  'rope halves, columns that stay': rope('halves', 11, 4),
  'rope pairs': rope('pairs', 8, 4),
  'attention 1 head of 4': attention([1, 1, 4], [1, 2]),
  'attention 2 x 3 heads of 9': attention([2, 3, 9], [5, 17]),
  'attention past a block of queries': attention([1, 2, 8], [130, 129]),
  'attention with scores whose double overflows': attention([1, 2, 9], [6, 5], 0, false, 8),
  'attention that goes on from a cache (reference)': attention([2, 2, 5], [4, 3], 3),
  'attention with a gradient to rows behind (reference)': attention([2, 1, 5], [4, 3], 0, true),
  siluGate,
  add,
  concat,
  dropout,
  'crossEntropy, consecutive rows': crossEntropy([1, 2, 3], 11),
  'crossEntropy, rows with gaps': crossEntropy([0, 2, 5], 8),
  'crossEntropy, past 16 lanes': crossEntropy([0, 3], 37),
  'crossEntropy, logits whose double overflows': crossEntropy([0, 1, 2], 11, 20),
  'crossEntropy, more than a block': crossEntropy(
    Array.from({ length: 130 }, (_, i) => i),
    5,
  ),
};

testCases(cases);

test('what runs is told: all of it is native', async () => {
  const backend = await createWasmTrainingBackend();
  const described = backend.describeBackward();
  expect(Object.values(described).every((how) => how === 'native')).toBe(true);
  expect(Object.keys(described).length).toBe(Object.keys(createReferenceBackend().describeBackward()).length);
  backend.dispose();
});

test('new values of a weight are used at once, packed and transposed ones too; what is tracked is freed with it', async () => {
  const backend = await createWasmTrainingBackend();
  const bench = new Bench(backend);
  const [w, taps] = [bench.weight(matrix('w', [9, 5])), bench.weight(vector('taps', [5, 2]))];
  const field = { name: 'conv', shape: [5, 1], offset: 0 };
  const segments = [{ start: 0, length: 3, slot: backend.createSlot(5), reset: true }];
  const run = async (): Promise<Float32Array[]> => {
    const x = backend.upload(values('x', 15), [3, 5]);
    const results = [backend.linear(x, w, null), backend.causalConv1d(x, taps, null, 'none', field, segments)];
    return Promise.all(results.map((result) => backend.read(result)));
  };
  const before = await run();
  for (const weight of [w, taps]) backend.writeWeight(weight, values(weight.name, size(weight.shape), 2));
  const after = await run();
  expect(after).toEqual(before.map((part) => part.map((value) => 2 * value)));
  expect(() => backend.writeWeight(w, new Float32Array(3))).toThrow(expect.objectContaining({ code: 'SHAPE' }));
  for (const weight of [w, taps]) backend.freeWeight(weight);
  expect(backend.memory().weights).toBe(0);
  await expect(backend.readGradient(w)).rejects.toMatchObject({ code: 'FOREIGN' });
  backend.dispose();
});

test('a weight that is not f32 cannot be trained: DTYPE', async () => {
  const backend = await createWasmTrainingBackend();
  const writer = backend.createWeight(matrix('w', [8, 4]), 'bf16');
  writer.write(new Uint8Array(64));
  const weight = writer.finish();
  expect(() => backend.trackGradient(weight)).toThrow(expect.objectContaining({ code: 'DTYPE' }));
  backend.dispose();
});
