import { pushBytes } from './character-bpe.ts';
import { CandidateHeap, POSITION_SPAN } from './merges.ts';
import type { WordModel } from './model.ts';

export interface ScoredPiecesConfig {
  /** The pieces that texts are made of: not control, unknown and byte tokens. */
  readonly pieces: ReadonlyMap<string, number>;
  /** For each id its place among the scores, 0 for the best; pieces of equal score have the same. */
  readonly ranks: Int32Array;
  readonly unknownId: number;
  readonly byteIds: Int32Array;
}

/**
 * SentencePiece's BPE: characters are joined as long as two neighbours make a piece, the best score first and the leftmost
 * among equals. What is no piece in the end is written in byte tokens, else as unknown. O(n log n) for a text of n
 * characters and pieces of bounded length. Source: bpe_model.cc of SentencePiece.
 */
export class ScoredPieces implements WordModel {
  readonly #config: ScoredPiecesConfig;
  /** Code units of the longest piece: longer pairs are not looked up. */
  readonly #longest: number;

  constructor(config: ScoredPiecesConfig) {
    this.#config = config;
    let longest = 0;
    for (const piece of config.pieces.keys()) longest = Math.max(longest, piece.length);
    this.#longest = longest;
  }

  encode(word: string, out: number[]): void {
    const { pieces, ranks, unknownId, byteIds } = this.#config;
    // A symbol is the part of `word` from its start to `ends`; the next symbol starts there. ends = 0: joined to another.
    const ends = new Int32Array(word.length);
    const previous = new Int32Array(word.length);
    const heap = new CandidateHeap(word.length);
    const rankAt = (at: number): number => {
      const right = ends[at]!;
      if (right === word.length || ends[right]! - at > this.#longest) return -1;
      const id = pieces.get(word.slice(at, ends[right]!));
      return id === undefined ? -1 : ranks[id]!;
    };
    for (let at = 0, before = -1; at < word.length; before = at, at = ends[at]!) {
      ends[at] = at + (word.codePointAt(at)! > 0xffff ? 2 : 1);
      previous[at] = before;
      if (before >= 0) heap.push(rankAt(before), before);
    }

    for (let candidate = heap.pop(); candidate >= 0; candidate = heap.pop()) {
      const at = candidate % POSITION_SPAN;
      // Stale where the pair at this place is no longer one of that score.
      if (ends[at] === 0 || rankAt(at) !== Math.floor(candidate / POSITION_SPAN)) continue;
      const right = ends[at]!;
      const after = ends[right]!;
      ends[at] = after;
      ends[right] = 0;
      if (after < word.length) previous[after] = at;
      heap.push(rankAt(at), at);
      if (previous[at]! >= 0) heap.push(rankAt(previous[at]!), previous[at]!);
    }

    let inUnknown = false;
    for (let at = 0; at < word.length; at = ends[at]!) {
      const symbol = word.slice(at, ends[at]!);
      const id = pieces.get(symbol);
      const isUnknown = id === undefined && !pushBytes(symbol, byteIds, out);
      if (id !== undefined) out.push(id);
      else if (isUnknown && !inUnknown) out.push(unknownId);
      inUnknown = isUnknown;
    }
  }
}
