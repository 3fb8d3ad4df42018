import { invalidOption } from './options.ts';

const MAX_STOPS = 256;
const MAX_STOP_LENGTH = 4096;

/** One stop string and how much of it the text ends with at the moment. */
interface Matcher {
  readonly text: string;
  /** Knuth-Morris-Pratt failure table: for each prefix, its longest proper prefix that is also its suffix. */
  readonly failure: Int32Array;
  matched: number;
}

function createMatcher(text: string): Matcher {
  const failure = new Int32Array(text.length);
  let length = 0;
  for (let i = 1; i < text.length; i++) {
    while (length > 0 && text[i] !== text[length]) length = failure[length - 1]!;
    if (text[i] === text[length]) length++;
    failure[i] = length;
  }
  return { text, failure, matched: 0 };
}

/**
 * Checks stop strings: one or a list of at most 256 well-formed, non-empty strings of at most 4096 UTF-16 units.
 * Throws `INVALID_OPTION`.
 */
export function checkStops(stop: unknown): string[] {
  const list: unknown = stop === undefined ? [] : typeof stop === 'string' ? [stop] : stop;
  if (!Array.isArray(list) || list.length > MAX_STOPS) {
    throw invalidOption(
      'stop',
      `a string or a list of at most ${MAX_STOPS} strings`,
      Array.isArray(list) ? list.length : stop,
    );
  }
  for (const text of list as unknown[]) {
    // A lone surrogate never occurs in decoded text, and it could make a piece end in the middle of a character.
    if (typeof text !== 'string' || text === '' || text.length > MAX_STOP_LENGTH || !text.isWellFormed()) {
      throw invalidOption('stop', `made of well-formed strings of 1 to ${MAX_STOP_LENGTH} UTF-16 units`, text);
    }
  }
  return list as string[];
}

/**
 * Cuts streamed text at the first stop string. Reading the text from left to right, the stop string that is complete
 * first wins; of several that end at the same place, the longest. So of `ab` and `abc` it is `ab`; of `abcd` and `bc`
 * in `abcd` it is `bc`. The rule does not depend on how the text is divided into pieces.
 *
 * Text that may be the beginning of a stop string is held back until that is decided: always less than the longest
 * stop string. Time per UTF-16 unit is proportional to the number of stop strings at most (amortised).
 */
export class StopFilter {
  readonly #matchers: readonly Matcher[];
  #held = '';
  #stop: string | null = null;

  /** Throws `INVALID_OPTION` for more than 256 stop strings, and for one that is empty, not well-formed or longer than 4096 UTF-16 units. */
  constructor(stops: string | readonly string[]) {
    this.#matchers = checkStops(stops).map(createMatcher);
  }

  /** The stop string that was found, else null. */
  get stop(): string | null {
    return this.#stop;
  }

  /** Text held back now. */
  get held(): string {
    return this.#held;
  }

  /** Takes the next text; returns what is decided to be part of the result. After a stop everything is dropped. */
  push(piece: string): string {
    if (this.#stop !== null) return '';
    const before = this.#held.length;
    const text = this.#held + piece;
    for (let i = before; i < text.length; i++) {
      const found = this.#advance(text[i]!);
      if (found === null) continue;
      this.#stop = found;
      this.#held = '';
      return text.slice(0, i + 1 - found.length);
    }
    let hold = 0;
    for (const matcher of this.#matchers) hold = Math.max(hold, matcher.matched);
    this.#held = text.slice(text.length - hold);
    return text.slice(0, text.length - hold);
  }

  /** The text ends here: returns what was held back. */
  flush(): string {
    const rest = this.#held;
    this.#held = '';
    for (const matcher of this.#matchers) matcher.matched = 0;
    return rest;
  }

  /** Feeds one UTF-16 unit to every matcher; the longest stop string that it completes, else null. */
  #advance(unit: string): string | null {
    let found: string | null = null;
    for (const matcher of this.#matchers) {
      const { text, failure } = matcher;
      let { matched } = matcher;
      while (matched > 0 && text[matched] !== unit) matched = failure[matched - 1]!;
      if (text[matched] === unit) matched++;
      matcher.matched = matched;
      if (matched === text.length && (found === null || text.length > found.length)) found = text;
    }
    return found;
  }
}
