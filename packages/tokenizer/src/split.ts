import { LETTER, MARK, NUMBER, PUNCTUATION, SPACE, SYMBOL, unicodeProperties } from './unicode.ts';

/** Calls `emit` with the start and end of every piece of `text`, in order, without gaps. */
export type Splitter = (text: string, emit: (start: number, end: number) => void) => void;

const OTHER_MASK = LETTER | NUMBER | SPACE;

// The patterns are scanned by hand, not compiled from the file: a hostile pattern cannot run, time is linear, and the
// classes are those of the oracle (see unicode.ts). The text must be well-formed.

/** `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` */
export const splitGpt2: Splitter = (text, emit) => {
  const properties = unicodeProperties();
  let start = 0;
  while (start < text.length) {
    let end = start + contraction(text, start, false);
    if (end === start) {
      const at = text.charCodeAt(start) === 0x20 ? start + 1 : start;
      const kind = at < text.length ? properties[text.codePointAt(at)!]! & OTHER_MASK : SPACE;
      end = kind === SPACE ? spaceEnd(text, start, properties) : runEnd(text, at, OTHER_MASK, kind, properties);
    }
    emit(start, end);
    start = end;
  }
};

/**
 * The Llama-3 family:
 * `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
 */
export function splitLlama3(digits: number): Splitter {
  return (text, emit) => {
    const properties = unicodeProperties();
    const kindAt = (at: number): number => (at < text.length ? properties[text.codePointAt(at)!]! & OTHER_MASK : -1);
    let start = 0;
    while (start < text.length) {
      const contracted = contraction(text, start, true);
      const end = contracted > 0 ? start + contracted : piece(text, start, kindAt, properties, digits);
      emit(start, end);
      start = end;
    }
  };
}

function piece(
  text: string,
  start: number,
  kindAt: (at: number) => number,
  properties: Uint8Array,
  digits: number,
): number {
  const first = text.codePointAt(start)!;
  const kind = kindAt(start);
  const second = start + (first > 0xffff ? 2 : 1);
  if (kind === LETTER) return runEnd(text, start, OTHER_MASK, LETTER, properties);
  if (kind === NUMBER) return runEnd(text, start, OTHER_MASK, NUMBER, properties, digits);
  if (!isLineEnd(first) && kindAt(second) === LETTER) return runEnd(text, second, OTHER_MASK, LETTER, properties);

  const others = first === 0x20 && kindAt(second) === 0 ? second : start;
  if (kindAt(others) === 0) {
    let end = runEnd(text, others, OTHER_MASK, 0, properties);
    while (end < text.length && isLineEnd(text.charCodeAt(end))) end++;
    return end;
  }

  return spaceOrLineEnd(text, start, properties);
}

/** `\s*[\r\n]+|\s+(?!\S)|\s+`: white space up to its last line end if it has one, else as in GPT-2. */
function spaceOrLineEnd(text: string, start: number, properties: Uint8Array): number {
  let end = runEnd(text, start, SPACE, SPACE, properties);
  const whole = end;
  while (end > start && !isLineEnd(text.charCodeAt(end - 1))) end--;
  return end > start ? end : allButLast(text, start, whole);
}

const WORD_MASK = LETTER | MARK;
const SIGN_MASK = PUNCTUATION | SYMBOL;

/**
 * DeepSeek 3: ASCII punctuation with the ASCII letters after it, words with one other character before them, signs with a
 * space before them and line ends after them, white space; what is none of these stays together between them.
 */
export const splitDeepseek3: Splitter = (text, emit) => {
  const properties = unicodeProperties();
  const has = (at: number, mask: number): boolean =>
    at < text.length && (properties[text.codePointAt(at)!]! & mask) !== 0;
  const endOf = (start: number, mask: number): number => {
    let at = start;
    while (has(at, mask)) at += text.codePointAt(at)! > 0xffff ? 2 : 1;
    return at;
  };
  let done = 0;
  for (let start = 0; start < text.length; ) {
    const first = text.codePointAt(start)!;
    const second = start + (first > 0xffff ? 2 : 1);
    const isSign = has(start, SIGN_MASK);
    let end = start;
    if (first < 0x80 && isSign && isAsciiLetter(text.charCodeAt(second))) {
      for (end = second; isAsciiLetter(text.charCodeAt(end)); ) end++;
    } else if (has(start, WORD_MASK)) {
      end = endOf(start, WORD_MASK);
    } else if (!isSign && !isLineEnd(first) && has(second, WORD_MASK)) {
      end = endOf(second, WORD_MASK);
    } else if (isSign || (first === 0x20 && has(second, SIGN_MASK))) {
      end = endOf(isSign ? start : second, SIGN_MASK);
      while (isLineEnd(text.charCodeAt(end))) end++;
    } else if (has(start, SPACE)) {
      end = spaceOrLineEnd(text, start, properties);
    }
    if (end === start) {
      start = second;
      continue;
    }
    if (done < start) emit(done, start);
    emit(start, end);
    start = end;
    done = end;
  }
  if (done < text.length) emit(done, text.length);
};

function isAsciiLetter(unit: number): boolean {
  return (unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a;
}

function isLineEnd(codePoint: number): boolean {
  return codePoint === 0x0a || codePoint === 0x0d;
}

/** End of the run from `start` on of at most `limit` code points whose properties under `mask` equal `kind`. */
function runEnd(
  text: string,
  start: number,
  mask: number,
  kind: number,
  properties: Uint8Array,
  limit: number = Number.POSITIVE_INFINITY,
): number {
  let at = start;
  for (let count = 0; at < text.length && count < limit; count++) {
    const codePoint = text.codePointAt(at)!;
    if ((properties[codePoint]! & mask) !== kind) break;
    at += codePoint > 0xffff ? 2 : 1;
  }
  return at;
}

function spaceEnd(text: string, start: number, properties: Uint8Array): number {
  return allButLast(text, start, runEnd(text, start, SPACE, SPACE, properties));
}

/** `\s+(?!\S)|\s+`: a run of white space leaves its last character to the word after it, if there is one. */
function allButLast(text: string, start: number, end: number): number {
  return end < text.length && end - start > 1 ? end - 1 : end; // White_Space lies in the BMP: one unit each
}

/** Length of the English contraction at `start`, or 0. */
function contraction(text: string, start: number, ignoreCase: boolean): number {
  if (text.charCodeAt(start) !== 0x27) return 0;
  const one = letter(text.charCodeAt(start + 1), ignoreCase);
  if (one === 's' || one === 't' || one === 'm' || one === 'd') return 2;
  const two = letter(text.charCodeAt(start + 2), ignoreCase);
  if (two === 'e' && (one === 'r' || one === 'v')) return 3;
  return one === 'l' && two === 'l' ? 3 : 0;
}

function letter(unit: number, ignoreCase: boolean): string {
  if (unit < 0x80) return ignoreCase ? String.fromCharCode(unit).toLowerCase() : String.fromCharCode(unit);
  return ignoreCase && unit === 0x17f ? 's' : ''; // the long s folds to s
}
