import type { Splitter } from './split.ts';
import { LETTER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, unicodeProperties } from './unicode.ts';

// Patterns of one class of characters, such as `\p{N}{1,3}` or ` ?[^\s,.]+`. They are read by a reader of these shapes alone
// and scanned by hand: time is linear in the text, whatever the file holds.

/** Longer patterns are not read: those in use have up to some 300 characters. */
const MAX_PATTERN = 2048;

interface CharacterClass {
  /** Property bits, any of which makes a member. */
  readonly mask: number;
  /** First and last members beside, ascending. */
  readonly ranges: readonly (readonly [number, number])[];
  readonly negated: boolean;
}

const PROPERTIES: Readonly<Record<string, number>> = {
  L: LETTER,
  N: NUMBER,
  M: MARK,
  P: PUNCTUATION,
  S: SYMBOL,
};
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t' };

/** How a pattern of one class goes on: before the class a space or white space, after it how often. */
const SHAPE = /^(\\s\?| \?)?(\[(?:[^\\\]]|\\[\s\S])+\]|\\p\{[LNMPS]\})(\+|\{1,(\d)\})?$/u;

/**
 * The scanner of a pattern of one class: matches are pieces, and so is what lies between them (`Isolated`). Undefined where
 * the pattern has another shape.
 */
export function splitterOfClass(pattern: string): Splitter | undefined {
  if (pattern.length > MAX_PATTERN) return undefined;
  if (pattern === '\\s+$') return splitTrailingSpace;
  // A class written several times over stands for that many.
  const times = /^(\[[^[\]\\]+\])\1{1,8}$/u.exec(pattern);
  if (times) {
    const members = parseClass(times[1]!);
    const count = pattern.length / times[1]!.length;
    return members && splitRuns(members, null, count, count);
  }
  const [, lead, set, quantifier, most] = SHAPE.exec(pattern) ?? [];
  const members = set === undefined ? undefined : parseClass(set);
  if (members === undefined) return undefined;
  const limit = quantifier === '+' ? Number.POSITIVE_INFINITY : most === undefined ? 1 : Number(most);
  if (limit === 0) return undefined;
  return splitRuns(members, lead === undefined ? null : lead === ' ?' ? 'space' : 'white', 1, limit);
}

/** `[^a-z\p{P}\n]` or `\p{N}`; undefined for what such a class is not made of here. */
function parseClass(text: string): CharacterClass | undefined {
  const inside = text.startsWith('[') ? text.slice(1, -1) : text;
  const negated = text.startsWith('[^');
  let mask = 0;
  const ranges: [number, number][] = [];
  /** A character that a range may begin with. */
  let last: number | null = null;
  let inRange = false;
  for (let at = negated ? 1 : 0; at < inside.length; ) {
    const rest = inside.slice(at, at + 5);
    const property = /^\\p\{([LNMPS])\}/.exec(rest);
    if (property || rest.startsWith('\\s')) {
      if (inRange) return undefined;
      mask |= property ? PROPERTIES[property[1]!]! : SPACE;
      last = null;
      at += property ? 5 : 2;
      continue;
    }
    // Oniguruma knows classes in classes and their intersections; nobody needs them.
    if (rest[0] === '[' || rest.startsWith('&&')) return undefined;
    const escaped = rest[0] === '\\';
    const character = String.fromCodePoint(inside.codePointAt(at + (escaped ? 1 : 0))!);
    if (escaped && /[A-Za-z0-9]/.test(character) && !(character in ESCAPES)) return undefined;
    at += character.length + (escaped ? 1 : 0);
    if (character === '-' && !escaped && last !== null && at < inside.length) {
      inRange = true;
      continue;
    }
    const codePoint = (escaped ? (ESCAPES[character] ?? character) : character).codePointAt(0)!;
    if (inRange) {
      if (codePoint < last!) return undefined;
      ranges.at(-1)![1] = codePoint;
      inRange = false;
      last = null;
    } else {
      ranges.push([codePoint, codePoint]);
      last = codePoint;
    }
  }
  return inRange ? undefined : { mask, ranges: merged(ranges), negated };
}

/** Ascending and without overlaps. */
function merged(ranges: readonly (readonly [number, number])[]): [number, number][] {
  const out: [number, number][] = [];
  for (const [first, end] of ranges.toSorted(([a], [b]) => a - b)) {
    const before = out.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], end);
    else out.push([first, end]);
  }
  return out;
}

function isMember({ mask, ranges, negated }: CharacterClass, codePoint: number, properties: Uint8Array): boolean {
  if ((properties[codePoint]! & mask) !== 0) return !negated;
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ranges[middle]![1] < codePoint) low = middle + 1;
    else high = middle;
  }
  return (low < ranges.length && ranges[low]![0] <= codePoint) !== negated;
}

/** Runs of `least` to `most` members, with a space before them where `lead` says so. */
function splitRuns(members: CharacterClass, lead: 'space' | 'white' | null, least: number, most: number): Splitter {
  return (text, emit) => {
    const properties = unicodeProperties();
    const isIn = (at: number): boolean => at < text.length && isMember(members, text.codePointAt(at)!, properties);
    const isLead = (at: number): boolean =>
      lead === 'space' ? text[at] === ' ' : lead === 'white' && (properties[text.charCodeAt(at)]! & SPACE) !== 0;
    let done = 0;
    for (let at = 0; at < text.length; ) {
      // White space lies in the BMP: one unit. A lead that is a member itself begins the run either way.
      const start = isLead(at) && isIn(at + 1) ? at + 1 : at;
      let end = start;
      let count = 0;
      for (; count < most && isIn(end); count++) end += text.codePointAt(end)! > 0xffff ? 2 : 1;
      if (count < least) {
        at += text.codePointAt(at)! > 0xffff ? 2 : 1;
        continue;
      }
      if (done < at) emit(done, at);
      emit(at, end);
      at = end;
      done = end;
    }
    if (done < text.length) emit(done, text.length);
  };
}

/** `\s+$`: white space up to the end of a line, which for Oniguruma is before any line feed. */
const splitTrailingSpace: Splitter = (text, emit) => {
  const properties = unicodeProperties();
  const isSpace = (at: number): boolean => at < text.length && (properties[text.charCodeAt(at)]! & SPACE) !== 0;
  let done = 0;
  for (let at = 0; at < text.length; at++) {
    if (!isSpace(at)) continue;
    const start = at;
    let lineEnd = start;
    for (; isSpace(at); at++) if (at > start && text[at] === '\n') lineEnd = at;
    if (at === text.length) lineEnd = at;
    if (lineEnd === start) continue;
    if (done < start) emit(done, start);
    emit(start, lineEnd);
    done = lineEnd;
  }
  if (done < text.length) emit(done, text.length);
};

/** Digits of `tokenizers`: Rust's numbers, some of which Oniguruma does not know yet. */
export function splitDigits(oneByOne: boolean): Splitter {
  const ranges = [
    [0x11de0, 0x11de9],
    [0x16ff4, 0x16ff6],
  ] as const;
  const members = { mask: NUMBER, ranges, negated: false };
  return splitRuns(members, null, 1, oneByOne ? 1 : Number.POSITIVE_INFINITY);
}
