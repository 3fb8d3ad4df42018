import { overLimit } from './json.ts';

// SentencePiece's BPE has pieces with scores where a tokenizer.json has merges. Each can be said by the other.

/** Work: the squares of the pieces' lengths, which are some 50 each. */
const MAX_WORK = 2 ** 28;

/**
 * Every way to join two pieces to a third, the piece of the highest score first, as transformers writes them
 * (generate_merges). `scores` by id.
 */
export function mergesOfPieces(
  pieces: ReadonlyMap<string, number>,
  scores: ArrayLike<number>,
): [left: string, right: string][] {
  let work = 0;
  const merges: { left: string; right: string; score: number }[] = [];
  for (const [piece, id] of pieces) {
    work += piece.length ** 2;
    if (work > MAX_WORK) throw overLimit('the sum of the squared lengths of all pieces', MAX_WORK, work);
    for (let at = 0; ; ) {
      at += piece.codePointAt(at)! > 0xffff ? 2 : 1;
      if (at >= piece.length) break;
      const [left, right] = [piece.slice(0, at), piece.slice(at)];
      if (pieces.has(left) && pieces.has(right)) merges.push({ left, right, score: scores[id]! });
    }
  }
  const points = (text: string): number => [...text].length;
  merges.sort((a, b) => b.score - a.score || points(b.left) - points(a.left) || points(b.right) - points(a.right));
  return merges.map(({ left, right }) => [left, right]);
}

/**
 * Scores by id that give these merges, 0 for what none of them makes; null where no scores do: where a piece is made by
 * merges that stand apart, or two pieces make a third that none of the merges does.
 */
export function scoresOfMerges(
  pieces: ReadonlyMap<string, number>,
  merges: readonly (readonly [string, string])[],
  size: number,
): number[] | null {
  const scores = new Array<number>(size).fill(0);
  const given = new Set<string>();
  let last = '';
  let score = 0;
  for (const [left, right] of merges) {
    const piece = left + right;
    const id = pieces.get(piece);
    if (id === undefined) return null;
    if (piece !== last) {
      if (scores[id] !== 0) return null;
      scores[id] = --score;
      last = piece;
    }
    given.add(`${left} ${right}`);
  }
  const all = mergesOfPieces(pieces, scores);
  return all.length === given.size && all.every(([left, right]) => given.has(`${left} ${right}`)) ? scores : null;
}
