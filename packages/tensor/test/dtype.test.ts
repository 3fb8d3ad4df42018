import { describe, expect, test } from 'vitest';
import {
  bf16ToF32,
  DTYPES,
  decodeToF32,
  excessiveFactor,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  type MambaError,
  matrix,
  randomBlocks,
} from '../src/index.ts';
import { createReferenceBackend } from '../src/reference/index.ts';
import { encode, Random } from '../src/testing/index.ts';

const isNaNPattern = { f16: (b: number) => (b & 0x7fff) > 0x7c00, bf16: (b: number) => (b & 0x7fff) > 0x7f80 };

describe.each([
  ['f16', f16ToF32, f32ToF16],
  ['bf16', bf16ToF32, f32ToBf16],
] as const)('%s', (name, decode, encodeOne) => {
  test('all 65536 bit patterns survive the way to f32 and back; NaN stays NaN', () => {
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = decode(bits);
      const back = encodeOne(value);
      const right = isNaNPattern[name](bits) ? Number.isNaN(value) && isNaNPattern[name](back) : back === bits;
      if (!right || (!Number.isNaN(value) && Math.fround(value) !== value)) wrong.push(bits);
    }
    expect(wrong).toEqual([]);
  });

  test('a value halfway between two neighbours goes to the even one, and beside it to the nearer one', () => {
    const wrong: number[] = [];
    const largest = name === 'f16' ? 0x7bff : 0x7f7f;
    for (let bits = 0; bits < largest; bits++) {
      const [low, high] = [decode(bits), decode(bits + 1)];
      const middle = (low + high) / 2;
      if (Math.fround(middle) !== middle) continue; // below the f32 range: no such number
      const even = bits & 1 ? bits + 1 : bits;
      const nudge = (high - low) / 8;
      if (encodeOne(middle) !== even || encodeOne(-middle) !== (even | 0x8000)) wrong.push(bits);
      else if (Math.fround(middle - nudge) === middle - nudge) {
        if (encodeOne(middle - nudge) !== bits || encodeOne(middle + nudge) !== bits + 1) wrong.push(bits);
      }
    }
    expect(wrong).toEqual([]);
  });
});

test('overflow goes to infinity from half a step above the largest value on', () => {
  expect([65504, 65519.996, 65520, 1e9, -65520].map(f32ToF16)).toEqual([0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00]);
  expect([3.4e38, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(f32ToBf16)).toEqual([0x7f80, 0x7f80, 0xff80]);
});

// Node 22 has no Float16Array; Node 26 and Chromium have.
test.runIf(typeof Float16Array !== 'undefined')(
  'f16 agrees with Float16Array on all patterns and 20000 numbers',
  () => {
    const half = new Float16Array(1);
    const raw = new Uint16Array(half.buffer);
    const wrong: number[] = [];
    for (let bits = 0; bits < 0x10000; bits++) {
      raw[0] = bits;
      if (!Object.is(f16ToF32(bits), half[0])) wrong.push(bits);
    }
    const random = new Random(1, 301);
    for (let i = 0; i < 20_000; i++) {
      const value = Math.fround(random.uniform(-1, 1) * 10 ** random.uniform(-9, 6));
      half[0] = value;
      if (f32ToF16(value) !== raw[0]) wrong.push(value);
    }
    expect(wrong).toEqual([]);
  },
);

test.each(['f32', 'f16', 'bf16'] as const)('%s bytes decode from any byte offset', (dtype) => {
  const values = Float32Array.of(0, -0, 1, -2.5, 0.375, Number.POSITIVE_INFINITY);
  const bytes = encode(values, dtype);
  const shifted = new Uint8Array(bytes.length + 3);
  shifted.set(bytes, 3);
  expect(Array.from(decodeToF32(shifted.subarray(3), dtype))).toEqual(Array.from(values));
});

test.each(['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'] as const)(
  '%s: rows of broken blocks, pieces of broken blocks and scales of 64 are refused',
  async (dtype) => {
    const { block, bytes } = DTYPES[dtype];
    const backend = createReferenceBackend();
    const thrown = (act: () => unknown): unknown => {
      try {
        return act();
      } catch (error) {
        return (error as MambaError).code;
      }
    };
    expect(thrown(() => backend.createWeight(matrix('w', [2, block + 1]), dtype))).toBe('SHAPE');
    const good = randomBlocks(dtype, 2, 1, () => 0.5);
    const writer = backend.createWeight(matrix('w', [2, block]), dtype);
    expect(thrown(() => writer.write(good.subarray(0, bytes - 1)))).toBe('TENSOR_SIZE');
    expect(excessiveFactor(good, dtype)).toBeNull();
    for (const [bits, value] of [
      [0x5400, 64],
      [0xfc00, Number.NEGATIVE_INFINITY],
      [0x7e00, Number.NaN],
    ] as const) {
      const bad = good.slice();
      const at = bytes + (dtype === 'q6_k' ? 208 : 0);
      bad[at] = bits & 255;
      bad[at + 1] = bits >> 8;
      expect(excessiveFactor(bad, dtype)).toBe(value);
      expect(thrown(() => writer.write(bad))).toBe('TENSOR_RANGE');
    }
    writer.write(good);
    expect(writer.finish().shape).toEqual([2, block]);
  },
);
