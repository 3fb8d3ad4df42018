import { outcomeOf, type Target } from './fuzz.ts';

/** The same error: its first line, with numbers left out. */
const signature = (problem: string | null): string | null => problem && problem.split('\n')[0]!.replace(/\d+/g, '#');

/** A smaller file that fails with the same error without a code: pieces are left out as long as it does (Zeller 2002). */
export async function minimise(target: Target, file: Uint8Array): Promise<Uint8Array> {
  const wanted = signature((await outcomeOf(target, file)).problem);
  if (wanted === null) return file;
  let best = file;
  let tries = 0;
  for (let piece = Math.ceil(best.length / 2); piece >= 1; piece = Math.floor(piece / 2)) {
    for (let at = 0; at < best.length && tries < 5000; tries++) {
      const smaller = new Uint8Array([...best.subarray(0, at), ...best.subarray(at + piece)]);
      if (signature((await outcomeOf(target, smaller)).problem) === wanted) best = smaller;
      else at += piece;
    }
  }
  return best;
}
