import { COMBINING_CLASS_RUNS, PROPERTY_RUNS } from './generated/unicode.ts';

// Bits of a code point's entry in the property table; written by fixtures/tokenizer-unicode.py.
/** `\p{L}` of Oniguruma. */
export const LETTER = 1;
/** `\p{N}` of Oniguruma. */
export const NUMBER = 2;
/** `\s` of Oniguruma and of the regex crate: White_Space, so with U+0085 and without U+FEFF, unlike JavaScript's. */
export const SPACE = 4;
/** `\w` of the regex crate. */
export const WORD = 8;
/** NFC may move, change or join it. */
export const COMPOSING = 16;
/** `\p{M}` of Oniguruma. */
export const MARK = 32;
/** `\p{P}` of Oniguruma. */
export const PUNCTUATION = 64;
/** `\p{S}` of Oniguruma. */
export const SYMBOL = 128;

function expandRuns(runs: string): Uint8Array {
  const table = new Uint8Array(0x110000);
  let at = 0;
  for (const run of runs.split(',')) {
    const [length, value] = run.split(' ') as [string, string?];
    const end = at + Number.parseInt(length, 36);
    if (value !== undefined) table.fill(Number.parseInt(value, 36), at, end);
    at = end;
  }
  return table;
}

let properties: Uint8Array | undefined;

/** One byte of property bits per code point: 1.1 MB, expanded on first use in about a millisecond. */
export function unicodeProperties(): Uint8Array {
  properties ??= expandRuns(PROPERTY_RUNS);
  return properties;
}

let combiningClasses: Uint8Array | undefined;

/** Canonical combining class per code point, as of the Unicode version that the oracle's NFC uses. */
export function unicodeCombiningClasses(): Uint8Array {
  combiningClasses ??= expandRuns(COMBINING_CLASS_RUNS);
  return combiningClasses;
}
