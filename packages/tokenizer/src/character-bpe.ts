import { type MergeTable, mergeSymbols } from './merges.ts';
import type { WordModel } from './model.ts';

export interface CharacterBpeConfig {
  /** Token to id, of the model alone. */
  readonly vocab: ReadonlyMap<string, number>;
  readonly merges: MergeTable;
  /** A whole word that is a token is that token, whatever the merges would make of it. */
  readonly ignoreMerges: boolean;
  /** Id of characters that the vocabulary lacks, or -1: such characters are dropped, as in Python. */
  readonly unknownId: number;
  /** Neighbouring unknown characters make one unknown token. */
  readonly fuseUnknown: boolean;
  /** For each byte its token "<0x..>" (-1 where there is none): a character is written in them rather than as unknown. */
  readonly byteIds: Int32Array | null;
}

/** BPE on characters, as Llama 2 has it. Source: the BPE model of Python's `tokenizers`. */
export class CharacterBpe implements WordModel {
  readonly #config: CharacterBpeConfig;

  constructor(config: CharacterBpeConfig) {
    this.#config = config;
  }

  encode(word: string, out: number[]): void {
    const { vocab, merges, ignoreMerges } = this.#config;
    const whole = ignoreMerges ? vocab.get(word) : undefined;
    if (whole !== undefined) {
      out.push(whole);
      return;
    }
    const symbols = Int32Array.from(this.#symbolsOf(word));
    const count = mergeSymbols(symbols, symbols.length, merges);
    for (let i = 0; i < count; i++) out.push(symbols[i]!);
  }

  #symbolsOf(word: string): number[] {
    const { vocab, unknownId, fuseUnknown, byteIds } = this.#config;
    const symbols: number[] = [];
    // As in Python, an unknown token waits for the next known character, and bytes do not count as one.
    let inUnknown = false;
    for (const character of word) {
      const id = vocab.get(character);
      if (id !== undefined) {
        if (inUnknown) symbols.push(unknownId);
        inUnknown = false;
        symbols.push(id);
      } else if (!(byteIds && pushBytes(character, byteIds, symbols)) && unknownId >= 0) {
        if (inUnknown && !fuseUnknown) symbols.push(unknownId);
        inUnknown = true;
      }
    }
    if (inUnknown) symbols.push(unknownId);
    return symbols;
  }
}

const encoder: TextEncoder = new TextEncoder();

/** Appends the tokens of the character's UTF-8, if all of its bytes have one. */
export function pushBytes(character: string, byteIds: Int32Array, out: number[]): boolean {
  const ids = Array.from(encoder.encode(character), (byte) => byteIds[byte]!);
  if (ids.includes(-1)) return false;
  out.push(...ids);
  return true;
}

/** For each byte the id of the token "<0x0A>" that stands for it, or -1. */
export function byteTokenIds(vocab: ReadonlyMap<string, number>): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => {
    return vocab.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`) ?? -1;
  });
}
