import { isMambaError } from '../packages/tensor/src/index.ts';
import { Random } from './random.ts';

/** A reader under attack. A new format adds one of these to targets/, and a line to targets/index.ts. */
export interface Target {
  readonly name: string;
  /** What its errors may say; each must occur in a run. */
  readonly codes: readonly string[];
  /** Sound files that mutants start from. */
  readonly seeds: readonly Uint8Array[];
  /** A mutant of `seeds[seed]`. */
  mutate(random: Random, seed: number): Uint8Array;
  /** Mutants too large to be frequent (one in 500, in turn), such as those past a limit. */
  readonly large: readonly (() => Uint8Array)[];
  /**
   * What a file is made of (names, types, counts, sizes, order), however it is spelled; null where it is not even that.
   * A mutant changes the structure where it has one that is not its seed's.
   */
  structure(file: Uint8Array): string | null;
  /** Its files among the fixtures, by name. */
  readonly fixture: RegExp;
  /** Bytes of a sound file up to the last that it declares: cut anywhere before, it must be refused. */
  declaredLength(file: Uint8Array): number;
  /**
   * Reads a file as programs do, uses what came out, and checks what must hold of it. Errors without a code of ours are
   * failures, so a broken promise is a plain `Error`.
   */
  read(file: Uint8Array): Promise<void>;
}

const LARGE_EVERY = 500;

/** Mutant number `index` of a run, with the seed that it came from. */
export function mutantOf(target: Target, seed: number, index: number): { file: Uint8Array; from: number | null } {
  if (index % LARGE_EVERY === LARGE_EVERY - 1 && target.large.length > 0) {
    const turn = Math.floor(index / LARGE_EVERY) % target.large.length;
    return { file: target.large[turn]!(), from: null };
  }
  const random = new Random(seed, index);
  const from = random.below(target.seeds.length);
  return { file: target.mutate(random, from), from };
}

/** `accepted`, an error's code, or `UNTYPED` with what was thrown. */
export async function outcomeOf(target: Target, file: Uint8Array): Promise<{ code: string; problem: string | null }> {
  try {
    await target.read(file);
    return { code: 'accepted', problem: null };
  } catch (error) {
    if (isMambaError(error) && target.codes.includes(error.code)) return { code: error.code, problem: null };
    const stack = error instanceof Error ? error.stack : undefined;
    return { code: isMambaError(error) ? error.code : 'UNTYPED', problem: stack ?? String(error) };
  }
}

export interface Failure {
  readonly index: number;
  readonly kind: 'untyped' | 'hang' | 'crash' | 'slow' | 'memory' | 'accepted';
  readonly message: string;
}

/** What a stretch of mutants gave. */
export interface Tally {
  mutants: number;
  /** How often each code came. */
  codes: Record<string, number>;
  /** Mutants whose structure is not their seed's. */
  structural: number;
  failures: Failure[];
  /** Milliseconds of the slowest, and its number. */
  slowest: { ms: number; index: number };
  /** Bytes beyond the file that the greediest allocated (garbage included, so an upper bound where no collection ran). */
  greediest: { bytes: number; index: number };
  /** Numbers of mutants to be run again alone: over the limit of time or memory beside others. */
  suspects: number[];
}

export function emptyTally(): Tally {
  return {
    mutants: 0,
    codes: {},
    structural: 0,
    failures: [],
    slowest: { ms: 0, index: -1 },
    greediest: { bytes: 0, index: -1 },
    suspects: [],
  };
}

export function addTally(sum: Tally, more: Tally): void {
  sum.mutants += more.mutants;
  for (const [code, count] of Object.entries(more.codes)) sum.codes[code] = (sum.codes[code] ?? 0) + count;
  sum.structural += more.structural;
  sum.failures.push(...more.failures);
  sum.suspects.push(...more.suspects);
  if (more.slowest.ms > sum.slowest.ms) sum.slowest = more.slowest;
  if (more.greediest.bytes > sum.greediest.bytes) sum.greediest = more.greediest;
}

export const SLOW_MS = 100;
export const MEMORY_LIMIT: number = 64 << 20;

export interface FuzzHooks {
  /** Before each mutant is read. */
  readonly onStart?: (index: number) => void;
  /** Bytes allocated so far, where the platform tells. */
  readonly allocated?: () => number;
  /** A clock in milliseconds that stands still while other programs run, where there is one. */
  readonly now?: () => number;
}

/** Mutants `from` to `to` (exclusive) of a run, one after another in this thread. */
export async function fuzz(
  target: Target,
  seed: number,
  from: number,
  to: number,
  hooks: FuzzHooks = {},
): Promise<Tally> {
  const tally = emptyTally();
  const now = hooks.now ?? (() => performance.now());
  const structures = target.seeds.map((file) => target.structure(file));
  for (let index = from; index < to; index++) {
    const mutant = mutantOf(target, seed, index);
    hooks.onStart?.(index);
    const before = hooks.allocated?.() ?? 0;
    const started = now();
    const { code, problem } = await outcomeOf(target, mutant.file);
    const ms = now() - started;
    const bytes = (hooks.allocated?.() ?? 0) - before - mutant.file.length;
    tally.mutants++;
    tally.codes[code] = (tally.codes[code] ?? 0) + 1;
    // The large ones have a structure of their own: to look for it would take longer than to read them.
    const structure = mutant.from === null ? '' : target.structure(mutant.file);
    if (structure !== null && (mutant.from === null || structure !== structures[mutant.from])) tally.structural++;
    if (problem !== null) tally.failures.push({ index, kind: 'untyped', message: problem });
    if (ms > tally.slowest.ms) tally.slowest = { ms, index };
    if (bytes > tally.greediest.bytes) tally.greediest = { bytes, index };
    if (ms > SLOW_MS || bytes > MEMORY_LIMIT) tally.suspects.push(index);
  }
  return tally;
}

/** What the run of a whole was worth: one line per promise that it broke. */
export function verdict(target: Target, { mutants, codes, structural, failures }: Tally): string[] {
  const problems = failures.map(({ kind, index, message }) => `mutant ${index}: ${kind}: ${message.slice(0, 400)}`);
  const missing = target.codes.filter((code) => !codes[code]);
  if (missing.length > 0) problems.push(`these codes never came: ${missing.join(', ')}`);
  if (!codes.accepted) problems.push('no mutant was accepted: what lies behind the checks was never reached');
  if (structural < 0.9 * mutants) problems.push(`only ${structural} of ${mutants} mutants change the structure`);
  return problems;
}
