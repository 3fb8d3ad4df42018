import { SPACE, unicodeProperties, WORD } from './unicode.ts';

/** A token that is looked for in the text itself, before the model sees it. Fields as in tokenizer.json. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Only where no word character stands beside it. */
  readonly singleWord: boolean;
  /** Swallows the white space before it. */
  readonly lstrip: boolean;
  /** Swallows the white space after it. */
  readonly rstrip: boolean;
  /** Looked for in the normalized text, not in the raw one. */
  readonly normalized: boolean;
  readonly special: boolean;
}

interface Node {
  readonly next: Map<number, Node>;
  token: AddedToken | undefined;
}

/** Finds added tokens in text: leftmost first, longest first among those that start at one place. */
export class AddedTokenMatcher {
  readonly #root: Node = { next: new Map(), token: undefined };

  /** `patterns`: what to look for, for each token. */
  constructor(patterns: Iterable<readonly [string, AddedToken]>) {
    for (const [pattern, token] of patterns) {
      let node = this.#root;
      for (let i = 0; i < pattern.length; i++) {
        const unit = pattern.charCodeAt(i);
        let child = node.next.get(unit);
        if (child === undefined) {
          child = { next: new Map(), token: undefined };
          node.next.set(unit, child);
        }
        node = child;
      }
      node.token = token;
    }
  }

  /** Calls `onText` (with where it starts) and `onToken` for the pieces of `text` in order; pieces of text are never empty. */
  split(text: string, onText: (piece: string, start: number) => void, onToken: (id: number) => void): void {
    if (this.#root.next.size === 0) {
      if (text !== '') onText(text, 0);
      return;
    }
    let done = 0;
    // The last white space swallowed by rstrip, so that many tokens inside it do not each walk over it.
    let spaceEnd = 0;
    for (let at = 0; at < text.length; ) {
      const token = this.#longestAt(text, at);
      if (token === undefined) {
        at++;
        continue;
      }
      let start = at;
      let end = at + this.#length;
      at = end;
      if (token.singleWord && (isWordBefore(text, start) || isWordAt(text, end))) continue;
      if (token.lstrip) while (start > done && isSpaceAt(text, start - 1)) start--;
      if (token.rstrip) {
        if (spaceEnd < end) for (spaceEnd = end; spaceEnd < text.length && isSpaceAt(text, spaceEnd); ) spaceEnd++;
        end = spaceEnd;
      }
      if (done < start) onText(text.slice(done, start), done);
      onToken(token.id);
      done = end;
    }
    if (done < text.length) onText(text.slice(done), done);
  }

  /** Length of the match that {@link #longestAt} found last. */
  #length = 0;

  #longestAt(text: string, start: number): AddedToken | undefined {
    let node = this.#root.next.get(text.charCodeAt(start));
    let longest: AddedToken | undefined;
    for (let at = start + 1; node !== undefined; at++) {
      if (node.token !== undefined) {
        longest = node.token;
        this.#length = at - start;
      }
      node = at < text.length ? node.next.get(text.charCodeAt(at)) : undefined;
    }
    return longest;
  }
}

// White_Space lies in the BMP, so one unit tells.
function isSpaceAt(text: string, at: number): boolean {
  return (unicodeProperties()[text.charCodeAt(at)]! & SPACE) !== 0;
}

function isWordAt(text: string, at: number): boolean {
  return at < text.length && (unicodeProperties()[text.codePointAt(at)!]! & WORD) !== 0;
}

function isWordBefore(text: string, at: number): boolean {
  if (at === 0) return false;
  return isWordAt(text, (text.charCodeAt(at - 1) & 0xfc00) === 0xdc00 ? at - 2 : at - 1);
}
