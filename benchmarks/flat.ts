/** What a quantity did over the cycles of a soak, and whether that counts as flat. */
export interface Growth {
  /** Of the linear fit (least squares), from the first cycle after the warm-up to the last. */
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
  const kept = values.slice(Math.floor(values.length * WARM_UP));
  if (kept.length < 5) throw new RangeError(`${values.length} samples are too few to tell growth from noise`);
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
