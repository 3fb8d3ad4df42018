import { COMPOSING, unicodeCombiningClasses, unicodeProperties } from './unicode.ts';

// Below this code point every character is its own NFC and none is a combining mark.
const FIRST_COMPOSING = 0x300;
// Engines put marks in order by insertion, quadratic in the length of a run of marks; real text has runs below 10.
const LONG_MARK_RUN = 32;

/**
 * NFC as Python's `tokenizers` computes it: Unicode's algorithm with the tables of an old version of Unicode.
 *
 * Only runs of code points that those tables know to take part are handed to the engine. Unicode promises that the
 * normal form of such a run never changes, so the result depends neither on the engine nor on its Unicode version.
 */
export function normalizeNfc(text: string): string {
  let at = firstComposing(text);
  if (at === text.length) return text;

  const properties = unicodeProperties();
  let out = '';
  let copied = 0;
  while (at < text.length) {
    // The run around `at`: back to where the last one ended at most, forward as far as it goes.
    let start = at;
    while (start > copied && isComposingBefore(text, start, properties)) start -= unitsBefore(text, start);
    let end = at;
    while (end < text.length) {
      const codePoint = text.codePointAt(end)!;
      if ((properties[codePoint]! & COMPOSING) === 0) break;
      end += codePoint > 0xffff ? 2 : 1;
    }
    if (end > at) {
      out += text.slice(copied, start) + orderLongMarkRuns(text.slice(start, end)).normalize('NFC');
      copied = end;
    }
    // At the end of a run stands an inert character: step over it.
    at = end < text.length ? end + (text.codePointAt(end)! > 0xffff ? 2 : 1) : end;
    while (at < text.length && text.charCodeAt(at) < FIRST_COMPOSING) at++;
  }
  return out + text.slice(copied);
}

function firstComposing(text: string): number {
  let at = 0;
  while (at < text.length && text.charCodeAt(at) < FIRST_COMPOSING) at++;
  return at;
}

function unitsBefore(text: string, at: number): number {
  return (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00 ? 2 : 1;
}

function isComposingBefore(text: string, at: number, properties: Uint8Array): boolean {
  return (properties[text.codePointAt(at - unitsBefore(text, at))!]! & COMPOSING) !== 0;
}

/** Puts runs of more than {@link LONG_MARK_RUN} marks into canonical order, so that the engine has nothing to move. */
function orderLongMarkRuns(text: string): string {
  if (text.length <= LONG_MARK_RUN) return text;
  const classes = unicodeCombiningClasses();
  let out = '';
  let copied = 0;
  let start = 0;
  for (let at = 0; at <= text.length; ) {
    const codePoint = at < text.length ? text.codePointAt(at)! : -1;
    const isMark = codePoint >= 0 && (classes[codePoint] !== 0 || isTibetanPair(codePoint));
    const next = at + (codePoint > 0xffff ? 2 : 1);
    if (!isMark) {
      if (at - start > LONG_MARK_RUN) {
        out += text.slice(copied, start) + orderMarks(text.slice(start, at), classes);
        copied = at;
      }
      start = next;
    }
    at = next;
  }
  return out + text.slice(copied);
}

/** Marks of class 0 that decompose into two marks of other classes. */
function isTibetanPair(codePoint: number): boolean {
  return codePoint === 0x0f73 || codePoint === 0x0f75 || codePoint === 0x0f81;
}

function orderMarks(marks: string, classes: Uint8Array): string {
  // Decomposed one by one: a decomposition of a single mark is short. Stable buckets keep equal classes in order.
  const buckets = new Map<number, string[]>();
  for (const mark of marks) {
    for (const part of mark.normalize('NFD')) {
      const rank = classes[part.codePointAt(0)!]!;
      const bucket = buckets.get(rank);
      if (bucket === undefined) buckets.set(rank, [part]);
      else bucket.push(part);
    }
  }
  return [...buckets.keys()]
    .sort((a, b) => a - b)
    .map((rank) => buckets.get(rank)!.join(''))
    .join('');
}
