import type { OpName } from '../backend.ts';

/**
 * How far a backend may be from the f64 reference, per op: `|error| <= tolerance * (bound + TINY)`, where `bound` is
 * the sum of the magnitudes of the terms that are added up to the result (for the scans with the errors that the
 * exponentials and the recurrence hand on, see `bounds.ts`). So cancellation is no excuse, and no false alarm either.
 * f32 rounds by at most 6.0e-8; 0 means the same bits.
 */
export const TOLERANCES: Readonly<Record<OpName, number>> = {
  linear: 1e-6,
  embedding: 0,
  rmsNorm: 2e-6,
  layerNorm: 2e-6,
  causalConv1d: 2e-6,
  selectiveScan: 4e-6,
  ssd: 4e-6,
  mamba3Scan: 1e-6,
  mimoGate: 1e-6,
  siluGate: 2e-6,
  gelu: 1e-6,
  rope: 1e-6,
  attention: 2e-6,
  concat: 0,
  add: 1e-7,
  logits: 1e-6,
};

/** Added to the bound, so that results below f32's normal range may be flushed to zero. */
export const TINY = 1e-28;

/** The first element that is off, in words; undefined where all agree. NaN and infinities must be the same ones. */
export function firstDifference(
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: ArrayLike<number> | null,
  tolerance: number,
): string | undefined {
  if (found.length !== expected.length) return `${found.length} values, expected ${expected.length}`;
  for (let i = 0; i < expected.length; i++) {
    const f = found[i]!;
    const e = expected[i]!;
    if (Object.is(f, e) || f === e) continue;
    if (!Number.isFinite(e) || !Number.isFinite(f)) return `element ${i} is ${f}, expected ${e}`;
    const allowed = bound === null ? 0 : tolerance * (bound[i]! + TINY);
    if (!(Math.abs(f - e) <= allowed)) {
      return `element ${i} is ${f}, expected ${e}: off by ${Math.abs(f - e)}, allowed ${allowed}`;
    }
  }
  return undefined;
}
