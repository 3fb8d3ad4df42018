import { describe, expect, test } from 'vitest';
import { Fingerprint } from '../src/fingerprint.ts';

describe('a fingerprint', () => {
  const data = Uint8Array.from({ length: 1024 }, (_, i) => (i * 37) % 251);
  const of = (...pieces: Uint8Array[]): string =>
    pieces.reduce((hash, piece) => hash.bytes(piece), new Fingerprint()).digest();

  test('is 16 hexadecimal digits, the same for the same bytes', () => {
    expect(of(data)).toMatch(/^[0-9a-f]{16}$/);
    expect(of(data.slice())).toBe(of(data));
  });

  test('differs with every single bit, wherever it lies', () => {
    const seen = new Set([of(data)]);
    for (let bit = 0; bit < 8 * data.length; bit++) {
      const flipped = data.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      seen.add(of(flipped));
    }
    expect(seen.size).toBe(8 * data.length + 1);
  });

  test('differs with the order and the borders of pieces', () => {
    const [a, b] = [data.subarray(0, 500), data.subarray(500)];
    expect(new Set([of(data), of(a, b), of(b, a), of(a), of(b), of()]).size).toBe(6);
  });
});
