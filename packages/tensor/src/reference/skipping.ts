import type { UpdateSkipping } from '../backend.ts';
import type { FloatArray } from './matrix.ts';

/** The largest magnitude of `length` numbers; NaN where one of them is. */
export function largest(values: FloatArray, start: number, length: number): number {
  let most = 0;
  for (let i = start; i < start + length; i++) most = Math.max(most, Math.abs(values[i]!));
  return most;
}

/** Counts one update, and gives whether it is skipped. */
export function count(skipping: UpdateSkipping, skipped: boolean): boolean {
  skipping.updates++;
  if (skipped) skipping.skipped++;
  return skipped;
}
