import { describe, expect, test } from 'vitest';
import { columns, isMambaError, MambaError, matrix, split, vector } from '../src/index.ts';
import { createReferenceBackend } from '../src/reference/index.ts';
import { codeOf, conformanceSuite, firstDifference, Random, uploadWeight } from '../src/testing/index.ts';

conformanceSuite({ name: 'reference f32', create: async () => createReferenceBackend() }, { describe, test, expect });

describe('reference f64', () => {
  test('keeps inputs, weights and states in f64 throughout; read() rounds to f32', async () => {
    const b = createReferenceBackend({ precision: 'f64' });
    const third = 1 / 3;
    const x = b.upload(Float64Array.of(third, 1 + 2 ** -50), [1, 2]);
    const w = b.loadExact(matrix('w', [1, 2]), Float64Array.of(third, 1));
    expect(Array.from(await b.readExact(b.linear(x, w, null)))).toEqual([third * third + 1 + 2 ** -50]);
    expect(await b.read(x)).toEqual(Float32Array.of(third, 1));
    const slot = b.createSlot(1);
    b.writeSlot(slot, Float64Array.of(third));
    expect(Array.from(await b.readSlotExact(slot))).toEqual([third]);
    expect(await b.readSlot(slot)).toEqual(Float32Array.of(third));
    expect(b.memory().state).toBe(8);
  });

  test('maps a vector in f64', async () => {
    const b = createReferenceBackend({ precision: 'f64' });
    const w = uploadWeight(b, vector('A', [1], { map: (a) => -Math.exp(a) }), Float32Array.of(0.5));
    const y = b.rmsNorm(b.upload(Float64Array.of(1), [1, 1]), w, 0);
    expect(Array.from(await b.readExact(y))).toEqual([-Math.exp(0.5)]);
  });
});

describe('reference backend', () => {
  test('a scan in pieces equals the whole bit for bit in f32, too', async () => {
    const random = new Random(1, 1);
    const b = createReferenceBackend();
    const [rows, channels, states] = [11, 3, 4];
    const x = b.upload(random.floats(rows * 14), [rows, 14]);
    const [u, delta, B, C] = split(x, [channels, channels, states, states]);
    const A = uploadWeight(b, vector('A', [channels, states]), random.floats(channels * states, -2, -0.1));
    const field = { name: 'ssm', shape: [channels, states], offset: 0 };
    const run = async (...lengths: number[]) => {
      const slot = b.createSlot(channels * states);
      let start = 0;
      const segments = lengths.map((length) => {
        start += length;
        return { start: start - length, length, slot, reset: false };
      });
      const y = b.selectiveScan(u, delta, A, B, C, null, null, null, true, field, segments);
      return [...(await b.read(y)), ...(await b.readSlot(slot))];
    };
    expect(await run(3, 0, 7, 1)).toEqual(await run(rows));
  });

  test('a writer that was finished or aborted refuses more', async () => {
    const b = createReferenceBackend();
    const writer = b.createWeight(vector('v', [1]), 'f32');
    writer.write(new Uint8Array(4));
    writer.finish();
    expect(await codeOf(() => writer.write(new Uint8Array(4)))).toBe('FOREIGN');
    expect(await codeOf(() => writer.finish())).toBe('FOREIGN');
    writer.abort();
    expect(b.memory().weights).toBe(4);
  });

  test('unknown dtypes, mapped matrices and a negative eps are refused', async () => {
    const b = createReferenceBackend();
    const x = b.upload(Float32Array.of(1), [1, 1]);
    expect(await codeOf(() => b.createWeight(vector('v', [1]), 'q4_1' as never))).toBe('DTYPE');
    expect(await codeOf(() => b.createWeight({ ...matrix('w', [1, 1]), map: Math.exp }, 'f32'))).toBe('ARGUMENT');
    expect(await codeOf(() => b.rmsNorm(x, null, -1))).toBe('ARGUMENT');
    expect(await codeOf(() => b.rmsNorm(x, null, Number.NaN))).toBe('ARGUMENT');
    expect(await codeOf(() => b.createSlot(-1))).toBe('SHAPE');
    expect(await codeOf(() => b.add(columns(x, 0, 2), x))).toBe('SHAPE');
    expect(await codeOf(() => split(x, [2]))).toBe('SHAPE');
    expect(await codeOf(() => b.add({ ...x, rowStride: 0.5 }, x))).toBe('SHAPE');
  });

  test('dispose may be called twice', () => {
    const b = createReferenceBackend();
    b.dispose();
    b.dispose();
  });
});

test('errors of another copy of the package are recognised', () => {
  const theirs = Object.assign(new Error('x'), { [Symbol.for('mamba-ts.error')]: true, code: 'SHAPE' });
  expect([isMambaError(theirs), isMambaError(theirs, 'SHAPE'), isMambaError(theirs, 'ROLE')]).toEqual([
    true,
    true,
    false,
  ]);
  expect([isMambaError(new MambaError('SHAPE', 'x')), isMambaError(new Error('x')), isMambaError(null)]).toEqual([
    true,
    false,
    false,
  ]);
});

describe('the comparison itself', () => {
  test.each([
    ['NaN for a number', [Number.NaN], [1]],
    ['a number for NaN', [1], [Number.NaN]],
    ['the other infinity', [Number.POSITIVE_INFINITY], [Number.NEGATIVE_INFINITY]],
    ['an infinity for NaN', [Number.POSITIVE_INFINITY], [Number.NaN]],
    ['a missing value', [1], [1, 2]],
    ['an error above the tolerance', [1 + 2e-6], [1]],
    ['an error, and a bound that is NaN', [1.1], [1], [Number.NaN]],
  ])('finds %s', (_, found, expected, bound = [1, 1]) => {
    expect(firstDifference(found, expected, bound, 1e-6)).toBeDefined();
  });

  test('lets equal NaN, infinities and errors below the tolerance pass', () => {
    const values = [Number.NaN, Number.POSITIVE_INFINITY, 1];
    expect(firstDifference([...values.slice(0, 2), 1 + 5e-7], values, [1, 1, 1], 1e-6)).toBeUndefined();
  });
});
