import { BYTE_TO_CHARACTER } from './bytes.ts';
import { type MergeTable, mergeSymbols } from './merges.ts';
import type { WordModel } from './model.ts';

// Words repeat: text of any size is mostly a few thousand words. Bounded, and emptied when full.
const CACHE_WORDS = 16384;
const CACHE_WORD_UNITS = 64;
const KEPT_SYMBOLS = 65536;

export interface BpeConfig {
  /** Token to id, of the model alone. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: MergeTable;
  /** A whole word that is a token is that token, whatever the merges would make of it (Llama 3). */
  readonly ignoreMerges: boolean;
  /** Id for bytes that the vocabulary lacks, or -1: such bytes are dropped, as in Python. */
  readonly unknownId: number;
  /** Neighbouring unknown bytes make one unknown token. */
  readonly fuseUnknown: boolean;
}

/** Byte-level BPE of one word at a time. Not reentrant (it keeps a cache and a buffer), free of side effects otherwise. */
export class Bpe implements WordModel {
  readonly #config: BpeConfig;
  readonly #byteIds: Int32Array;
  readonly #cache: Map<string, Int32Array> = new Map();
  #symbols: Int32Array = new Int32Array(256);

  constructor(config: BpeConfig) {
    this.#config = config;
    this.#byteIds = Int32Array.from(BYTE_TO_CHARACTER, (character) => config.vocab.get(character) ?? -1);
  }

  /** Appends the ids of `word` (well-formed text, not yet mapped to byte characters) to `out`. */
  encode(word: string, out: number[]): void {
    const cached = this.#cache.get(word);
    if (cached !== undefined) {
      for (let i = 0; i < cached.length; i++) out.push(cached[i]!);
      return;
    }
    const whole = this.#config.ignoreMerges ? this.#config.vocab.get(byteCharacters(word)) : undefined;
    if (whole !== undefined) {
      out.push(whole);
      return;
    }
    const bytes = this.#fillSymbols(word); // first: it may replace the buffer
    const count = mergeSymbols(this.#symbols, bytes, this.#config.merges);
    for (let i = 0; i < count; i++) out.push(this.#symbols[i]!);
    if (word.length <= CACHE_WORD_UNITS) {
      if (this.#cache.size === CACHE_WORDS) this.#cache.clear();
      this.#cache.set(word, this.#symbols.slice(0, count));
    }
    if (this.#symbols.length > KEPT_SYMBOLS) this.#symbols = new Int32Array(256);
  }

  /** Writes one symbol per byte of the word's UTF-8 and returns how many. */
  #fillSymbols(word: string): number {
    if (this.#symbols.length < word.length * 3) this.#symbols = new Int32Array(word.length * 3);
    const symbols = this.#symbols;
    const { unknownId, fuseUnknown } = this.#config;
    let count = 0;
    let inUnknown = false;
    const add = (byte: number): void => {
      const id = this.#byteIds[byte]!;
      if (id >= 0) symbols[count++] = id;
      else if (unknownId >= 0 && !(fuseUnknown && inUnknown)) symbols[count++] = unknownId;
      inUnknown = id < 0;
    };
    for (let i = 0; i < word.length; i++) {
      const c = word.charCodeAt(i);
      if (c < 0x80) {
        add(c);
      } else if (c < 0x800) {
        add(0xc0 | (c >> 6));
        add(0x80 | (c & 0x3f));
      } else if ((c & 0xf800) !== 0xd800) {
        add(0xe0 | (c >> 12));
        add(0x80 | ((c >> 6) & 0x3f));
        add(0x80 | (c & 0x3f));
      } else {
        const codePoint = word.codePointAt(i++)!;
        add(0xf0 | (codePoint >> 18));
        add(0x80 | ((codePoint >> 12) & 0x3f));
        add(0x80 | ((codePoint >> 6) & 0x3f));
        add(0x80 | (codePoint & 0x3f));
      }
    }
    return count;
  }
}

function byteCharacters(word: string): string {
  let mapped = '';
  for (const byte of new TextEncoder().encode(word)) mapped += BYTE_TO_CHARACTER[byte];
  return mapped;
}
