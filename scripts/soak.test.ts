import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { floorOf, growthOf } from '../benchmarks/flat.ts';

const script = fileURLToPath(new URL('../benchmarks/soak.ts', import.meta.url));

function soak(...options: string[]): { status: number | null; grew: string[] } {
  const { status, stdout } = spawnSync(process.execPath, [script, '--json', ...options], { encoding: 'utf8' });
  return { status, grew: (JSON.parse(stdout) as { grew: string[] }).grew };
}

describe('what counts as flat', () => {
  test('the growth of a line is found through noise, and what the warm-up does is left out', () => {
    const noise = (i: number): number => ((i * 7919) % 101) - 50;
    const values = Array.from({ length: 100 }, (_, i) => (i < 30 ? 1000 * i : 30_000) + noise(i));
    expect(Math.abs(growthOf(values, 20).growth)).toBeLessThan(20);
    const leaking = values.map((value, i) => value + 3 * i);
    expect(growthOf(leaking, 20)).toMatchObject({ flat: false });
    expect(growthOf(leaking, 20).growth).toBeCloseTo(3 * 69, -2);
  });

  test('a floor is flat however often the last model is still there, and rises with a leak', () => {
    const values = Array.from({ length: 60 }, (_, i) => ((i * i) % 5 < (i > 30 ? 3 : 1) ? 166 : 83));
    expect(floorOf(values, 0)).toMatchObject({ flat: true, growth: 0 });
    expect(
      floorOf(
        values.map((value, i) => value + Math.floor(i / 10)),
        0,
      ),
    ).toMatchObject({ flat: false });
  });

  test('too few samples are refused', () => {
    for (const measure of [growthOf, floorOf]) expect(() => measure([1, 2, 3], 1)).toThrow(RangeError);
  });
});

// The whole of it: node benchmarks/soak.ts
describe('a short soak', () => {
  test('is flat, in this thread and in a worker', () => {
    expect(soak('--generations', '240', '--loads', '12')).toEqual({ status: 0, grew: [] });
  }, 240_000);

  test('sees a leak of 16 kB per generation', () => {
    const { status, grew } = soak('--generations', '600', '--loads', '0', '--leak', 'heap');
    expect(status).toBe(1);
    expect(grew.join()).toContain('generations in this thread: heapBytes grew');
  }, 240_000);

  test('sees models that are not disposed of: pages here, threads there', () => {
    const { status, grew } = soak('--generations', '0', '--loads', '12', '--leak', 'model');
    expect(status).toBe(1);
    expect(grew.join()).toContain('loads and disposals in this thread: wasmPages grew');
    expect(grew.join()).toContain('loads and disposals in a worker: threads grew');
  }, 240_000);
});
