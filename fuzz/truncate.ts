import { emptyTally, type FuzzHooks, outcomeOf, type Tally, type Target } from './fuzz.ts';
import { Random } from './random.ts';

/** Larger files are not cut at every length but at so many random ones: the time is quadratic. */
export const EVERY_LENGTH: number = 64 << 10;
export const RANDOM_LENGTHS = 10_000;

/** Cuts of a file of `declared` bytes. */
export const cutsOf = (declared: number): number => (declared <= EVERY_LENGTH ? declared : RANDOM_LENGTHS);

/**
 * A sound file cut after `from` to `to` (exclusive) bytes (of a large one: at the random lengths of those numbers): each cut
 * loses a declared byte and must be refused with one of the reader's codes. In a failure, `index` is the length.
 */
export async function truncate(
  target: Target,
  file: Uint8Array,
  from = 0,
  to?: number,
  { onStart }: FuzzHooks = {},
): Promise<Tally> {
  const tally = emptyTally();
  const declared = target.declaredLength(file);
  for (let cut = from; cut < (to ?? cutsOf(declared)); cut++) {
    const length = declared <= EVERY_LENGTH ? cut : new Random(declared, cut).below(declared);
    onStart?.(cut);
    const { code, problem } = await outcomeOf(target, file.subarray(0, length));
    tally.mutants++;
    tally.codes[code] = (tally.codes[code] ?? 0) + 1;
    if (problem !== null) tally.failures.push({ index: length, kind: 'untyped', message: problem });
    else if (code === 'accepted') tally.failures.push({ index: length, kind: 'accepted', message: 'cut and accepted' });
  }
  return tally;
}
