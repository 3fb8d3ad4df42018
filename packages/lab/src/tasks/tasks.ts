import { type IndexedRandom, philoxRandom } from '@mamba-ts/tensor';
import { NO_TARGET } from '@mamba-ts/train';

/** One sequence with what a model should say where. */
export interface Example {
  /** `[T]`. */
  readonly ids: Int32Array;
  /** `[T]`: the answer that row t should give, or `NO_TARGET` where nothing is asked. */
  readonly targets: Int32Array;
}

/** Draws a whole number from 0 to `below - 1`. */
type Draw = (below: number) => number;

/** A synthetic task: sequences that a model can only answer with one certain ability. */
export interface SyntheticTask {
  /** Ids 0 to vocabSize - 1 exist. */
  readonly vocabSize: number;
  /** The share of right answers of a model that knows the rules and has read nothing. */
  readonly chance: number;
  /** The shortest `length` there is. */
  readonly shortest: number;
  /** One sequence: a function of `length` and what `draw` gives. */
  make(length: number, draw: Draw): Example;
}

/** Symbols that are copied, looked up and recalled. */
const SYMBOLS = 16;
/** How many of them a sequence of selective copying hides. */
const HIDDEN = 8;

/**
 * Selective copying (Jing et al. 2019; Gu & Dao 2023, section 4.1.1): `HIDDEN` symbols at random places among `length`
 * tokens, noise between them; then as many marks, at each of which the next of the symbols is asked. To know where they
 * stood, a model must look at what it reads: constant coefficients cannot.
 */
const selectiveCopying: SyntheticTask = {
  vocabSize: SYMBOLS + 2,
  chance: 1 / SYMBOLS,
  shortest: HIDDEN,
  make(length, draw) {
    const [noise, mark] = [SYMBOLS, SYMBOLS + 1];
    const ids = new Int32Array(length + HIDDEN).fill(noise, 0, length).fill(mark, length);
    const targets = new Int32Array(length + HIDDEN).fill(NO_TARGET);
    let hidden = 0;
    for (let t = 0; t < length; t++) {
      // Every choice of places is as likely as any other (Knuth, TAOCP 2, algorithm 3.4.2S).
      if (draw(length - t) >= HIDDEN - hidden) continue;
      ids[t] = draw(SYMBOLS);
      targets[length + hidden++] = ids[t]!;
    }
    return { ids, targets };
  },
};

/**
 * Induction heads (Olsson et al. 2022; Gu & Dao 2023, section 4.1.2): random symbols, among them one bell, and at the end
 * the bell again: asked is the symbol that followed it the first time.
 */
const inductionHeads: SyntheticTask = {
  vocabSize: SYMBOLS + 1,
  chance: 1 / SYMBOLS,
  shortest: 4,
  make(length, draw) {
    const bell = SYMBOLS;
    const ids = Int32Array.from({ length }, () => draw(SYMBOLS));
    const targets = new Int32Array(length).fill(NO_TARGET);
    const first = draw(length - 2);
    ids[first] = bell;
    ids[length - 1] = bell;
    targets[length - 1] = ids[first + 1]!;
    return { ids, targets };
  },
};

/**
 * Parity (Grazzi et al. 2025; Lahoti et al. 2026): zeros and ones, and at each whether the ones so far are odd.
 * The state must flip, so that a decay between 0 and 1 is not enough: it must turn.
 */
const parity: SyntheticTask = {
  vocabSize: 2,
  chance: 1 / 2,
  shortest: 1,
  make(length, draw) {
    const ids = Int32Array.from({ length }, () => draw(2));
    let odd = 0;
    const targets = ids.map((bit) => (odd ^= bit));
    return { ids, targets };
  },
};

/** A task's name. */
export type TaskName = 'selective-copying' | 'induction-heads' | 'parity';

/** The tasks by name. */
export const TASKS: Readonly<Record<TaskName, SyntheticTask>> = {
  'selective-copying': selectiveCopying,
  'induction-heads': inductionHeads,
  parity,
};

/** Random numbers that each example has to itself: no sequence is longer than this allows. */
const DRAWS = 2 ** 22;
/** Examples from here on are for tests: no training comes so far. */
export const TEST_EXAMPLES: number = 2 ** 30;

/** Example `index` of a task: a pure function of its arguments, the same anywhere. */
export function exampleOf(task: SyntheticTask, length: number, seed: number, index: number): Example {
  const random: IndexedRandom = philoxRandom(seed);
  let next = index * DRAWS;
  return task.make(length, (below) => Math.floor(random(next++) * below));
}
