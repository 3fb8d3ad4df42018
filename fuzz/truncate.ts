import { emptyTally, type FuzzHooks, outcomeOf, type Tally, type Target } from './fuzz.ts';

/**
 * A sound file cut after `from` to `to` (exclusive) bytes: each cut that loses a declared byte must be refused with one of
 * the reader's codes. In a failure, `index` is the length.
 */
export async function truncate(
  target: Target,
  file: Uint8Array,
  from = 0,
  to: number = target.declaredLength(file),
  { onStart }: FuzzHooks = {},
): Promise<Tally> {
  const tally = emptyTally();
  for (let length = from; length < to; length++) {
    onStart?.(length);
    const { code, problem } = await outcomeOf(target, file.subarray(0, length));
    tally.mutants++;
    tally.codes[code] = (tally.codes[code] ?? 0) + 1;
    if (problem !== null) tally.failures.push({ index: length, kind: 'untyped', message: problem });
    else if (code === 'accepted') tally.failures.push({ index: length, kind: 'accepted', message: 'cut and accepted' });
  }
  return tally;
}
