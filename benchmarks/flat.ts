/** What a quantity did over the cycles of a soak, and whether that counts as flat. */
export interface Growth {
  /** From the first cycle after the warm-up to the last, as the measure says. */
  readonly growth: number;
  readonly limit: number;
  readonly first: number;
  readonly last: number;
  readonly flat: boolean;
}

/** The share of the samples, from the start, that is warm-up: caches fill, code is compiled. */
const WARM_UP = 0.3;

/**
 * Fits a line to `values`, sampled at even intervals, after the warm-up. A quantity is flat where the line rises by at most
 * `limit` in all: noise goes up and down and cancels out, a leak does not.
 */
export function growthOf(values: readonly number[], limit: number): Growth {
  const kept = afterWarmUp(values);
  const n = kept.length;
  const centre = (n - 1) / 2;
  let sum = 0;
  let squares = 0;
  for (const [i, value] of kept.entries()) {
    sum += (i - centre) * value;
    squares += (i - centre) ** 2;
  }
  const growth = (sum / squares) * (n - 1);
  return { growth, limit, first: kept[0]!, last: kept[n - 1]!, flat: growth <= limit };
}

/**
 * Compares the lowest of the first and of the last third after the warm-up. For what goes up and down by whole models, as
 * collectors and threads that end let go of the last one sooner or later: a leak lifts the floor as well.
 */
export function floorOf(values: readonly number[], limit: number): Growth {
  const kept = afterWarmUp(values);
  const third = Math.floor(kept.length / 3);
  const growth = Math.min(...kept.slice(-third)) - Math.min(...kept.slice(0, third));
  return { growth, limit, first: kept[0]!, last: kept.at(-1)!, flat: growth <= limit };
}

function afterWarmUp(values: readonly number[]): readonly number[] {
  const kept = values.slice(Math.floor(values.length * WARM_UP));
  if (kept.length < 5) throw new RangeError(`${values.length} samples are too few to tell growth from noise`);
  return kept;
}
