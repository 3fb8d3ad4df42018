// Keys hold a token id (below 2^24) above a rank, or a rank above a position, in one float64 (53 bits exactly).
/** Ranks stay below this: 2^22. */
export const MAX_MERGES = 0x400000;
const RANK_SPAN = MAX_MERGES;
export const POSITION_SPAN: number = 2 ** 31;

/**
 * The merge rules of a BPE model, found by pair of ids.
 *
 * Rows by left id, sorted by right id and searched by bisection, so that no file can make it slow; rows exist for ids that
 * occur, so that a file of one merge with the largest id takes no more memory than others.
 */
export class MergeTable {
  /** Left id -> its row: row r is `#keys[#starts[r] .. #starts[r + 1]]`. */
  readonly #rows: Map<number, number> = new Map();
  readonly #starts: Int32Array;
  /** right id * 2^22 + rank */
  readonly #keys: Float64Array;
  readonly #merged: Int32Array;

  /** Three ids per merge, in order of rank. Where a pair occurs twice the later one counts, as in Python. */
  constructor(left: Int32Array, right: Int32Array, merged: Int32Array) {
    for (const id of left) if (!this.#rows.has(id)) this.#rows.set(id, this.#rows.size);
    const starts = new Int32Array(this.#rows.size + 1);
    const rowOf = left.map((id) => this.#rows.get(id)!);
    for (const row of rowOf) starts[row + 1]!++;
    for (let row = 0; row < this.#rows.size; row++) starts[row + 1]! += starts[row]!;
    const keys = new Float64Array(left.length);
    const fill = starts.slice();
    for (let rank = 0; rank < left.length; rank++) {
      keys[fill[rowOf[rank]!]!++] = right[rank]! * RANK_SPAN + rank;
    }
    for (let row = 0; row < this.#rows.size; row++) {
      if (starts[row + 1]! - starts[row]! > 1) keys.subarray(starts[row]!, starts[row + 1]!).sort();
    }
    this.#starts = starts;
    this.#keys = keys;
    this.#merged = merged;
  }

  /** Rank of the merge of two ids, or -1. */
  rank(left: number, right: number): number {
    const row = this.#rows.get(left);
    if (row === undefined) return -1;
    const keys = this.#keys;
    const end = (right + 1) * RANK_SPAN;
    let low = this.#starts[row]!;
    let high = this.#starts[row + 1]!;
    const first = low;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (keys[middle]! < end) low = middle + 1;
      else high = middle;
    }
    // The last key below `end`: the highest rank of this pair, if its right id is ours.
    if (low === first) return -1;
    const rank = keys[low - 1]! - right * RANK_SPAN;
    return rank >= 0 ? rank : -1;
  }

  /** The id that the merge of this rank makes. */
  merged(rank: number): number {
    return this.#merged[rank]!;
  }
}

/**
 * Applies merges to `ids[0 .. count]` in place, lowest rank first and leftmost first among equals, until none applies.
 * Returns the new count. O(n log n) time; a linked list over the symbols and a heap of candidate merges.
 */
export function mergeSymbols(ids: Int32Array, count: number, merges: MergeTable): number {
  if (count < 2) return count;
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  const heap = new CandidateHeap(count);
  for (let at = 0; at < count; at++) {
    next[at] = at + 1;
    previous[at] = at - 1;
    if (at + 1 < count) heap.push(merges.rank(ids[at]!, ids[at + 1]!), at);
  }

  for (let candidate = heap.pop(); candidate >= 0; candidate = heap.pop()) {
    const rank = Math.floor(candidate / POSITION_SPAN);
    const at = candidate % POSITION_SPAN;
    const right = next[at]!;
    if (ids[at] === -1 || right === count) continue;
    // Stale if the pair at this place is no longer the one that was queued.
    const current = merges.rank(ids[at]!, ids[right]!);
    if (current === -1 || merges.merged(current) !== merges.merged(rank)) continue;

    ids[at] = merges.merged(rank);
    ids[right] = -1;
    const after = next[right]!;
    next[at] = after;
    if (after < count) {
      previous[after] = at;
      heap.push(merges.rank(ids[at]!, ids[after]!), at);
    }
    const before = previous[at]!;
    if (before >= 0) heap.push(merges.rank(ids[before]!, ids[at]!), before);
  }

  let kept = 0;
  for (let at = 0; at < count; at = next[at]!) ids[kept++] = ids[at]!;
  return kept;
}

/** Binary min-heap of (rank, position), as keys rank * {@link POSITION_SPAN} + position. */
export class CandidateHeap {
  #keys: Float64Array;
  #size = 0;

  constructor(capacity: number) {
    this.#keys = new Float64Array(capacity + 8);
  }

  push(rank: number, position: number): void {
    if (rank < 0) return;
    if (this.#size === this.#keys.length) {
      const grown = new Float64Array(this.#size * 2);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    const keys = this.#keys;
    const key = rank * POSITION_SPAN + position;
    let at = this.#size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent]! <= key) break;
      keys[at] = keys[parent]!;
      at = parent;
    }
    keys[at] = key;
  }

  /** The smallest key, or -1 when empty. */
  pop(): number {
    if (this.#size === 0) return -1;
    const keys = this.#keys;
    const smallest = keys[0]!;
    const key = keys[--this.#size]!;
    const size = this.#size;
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && keys[child + 1]! < keys[child]!) child++;
      if (keys[child]! >= key) break;
      keys[at] = keys[child]!;
      at = child;
    }
    keys[at] = key;
    return smallest;
  }
}
