import { expNonPositive } from './exp.ts';

/**
 * The tokens that may still be chosen, always in order of their ids. The buffers are used again for every token:
 * nothing of the vocabulary's size is allocated while generating.
 */
export class Candidates {
  /** The first `count` elements are alive. */
  readonly ids: Int32Array;
  /** Logits less the greatest one: at most 0, and 0 for the most likely token. */
  readonly scores: Float64Array;
  count = 0;
  readonly #weights: Float64Array;
  #weighed = false;

  constructor(vocabSize: number) {
    this.ids = new Int32Array(vocabSize);
    this.scores = new Float64Array(vocabSize);
    this.#weights = new Float64Array(vocabSize);
  }

  /** Takes all ids whose logit is above -Infinity; `max` is the greatest logit, finite. */
  load(logits: Float64Array, max: number): void {
    this.count = 0;
    this.#weighed = false;
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id]!;
      if (logit === Number.NEGATIVE_INFINITY) continue;
      this.ids[this.count] = id;
      this.scores[this.count++] = logit - max;
    }
  }

  /** Divides all scores by `divisor` (> 0). */
  scale(divisor: number): void {
    for (let i = 0; i < this.count; i++) this.scores[i]! /= divisor;
    this.#weighed = false;
  }

  /** `exp(scores)`: probabilities up to a common factor, 1 for the most likely token. Computed once per token. */
  weights(): Float64Array {
    if (!this.#weighed) {
      for (let i = 0; i < this.count; i++) this.#weights[i] = expNonPositive(this.scores[i]!);
      this.#weighed = true;
    }
    return this.#weights;
  }

  /** The sum of the weights, in order of the ids, in f64. */
  total(): number {
    const weights = this.weights();
    let sum = 0;
    for (let i = 0; i < this.count; i++) sum += weights[i]!;
    return sum;
  }

  /** Drops the candidates before the cut: those with a lower score, or the same score and a position after `last`. */
  keepFrom(score: number, last: number): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      const own = this.scores[i]!;
      if (own < score || (own === score && i > last)) continue;
      this.ids[kept] = this.ids[i]!;
      this.scores[kept] = own;
      if (this.#weighed) this.#weights[kept] = this.#weights[i]!;
      kept++;
    }
    this.count = kept;
  }
}

/** Narrows or reshapes the candidates in place. */
export type Warper = (candidates: Candidates) => void;

/** Divides the scores by `value` (> 0). The greatest stays 0, so that no temperature overflows. */
export function temperature(value: number): Warper {
  return (candidates) => candidates.scale(value);
}

/**
 * Keeps the `k` (>= 1) best scores and all that equal the k-th, as transformers' TopKLogitsWarper does. A heap of k
 * scores finds the k-th: one comparison for nearly every token, no sorting.
 */
export function topK(k: number): Warper {
  let heap = new Float64Array(0);
  return (candidates) => {
    const { scores, count } = candidates;
    if (k >= count) return;
    if (heap.length === 0) heap = new Float64Array(k);
    for (let i = 0; i < k; i++) heap[i] = scores[i]!;
    for (let i = (k >> 1) - 1; i >= 0; i--) siftSmallest(heap, i, k);
    for (let i = k; i < count; i++) {
      if (scores[i]! <= heap[0]!) continue;
      heap[0] = scores[i]!;
      siftSmallest(heap, 0, k);
    }
    candidates.keepFrom(heap[0]!, count);
  };
}

/** Restores the order of a heap whose root is its smallest number, after the element at `at` grew. */
function siftSmallest(heap: Float64Array, at: number, size: number): void {
  const value = heap[at]!;
  let parent = at;
  for (;;) {
    let child = 2 * parent + 1;
    if (child >= size) break;
    if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[parent] = heap[child]!;
    parent = child;
  }
  heap[parent] = value;
}

/**
 * Nucleus sampling: keeps the best tokens up to and including the one with which their probabilities reach `p`; at
 * least one. Equal scores at the border: the lower id is kept first (transformers' TopPLogitsWarper leaves this to an
 * unstable sort). Source: Holtzman et al. 2020, section 3.1.
 *
 * The vocabulary is not sorted: all tokens below (1 - p) / n of the mass together hold less than 1 - p of it, so none
 * of them is in the nucleus; the rest goes into a heap that is emptied from the top until the mass is reached.
 */
export function topP(p: number): Warper {
  let heap = new Int32Array(0);
  return (candidates) => {
    const { scores, count } = candidates;
    if (heap.length < count) heap = new Int32Array(scores.length);
    const weights = candidates.weights();
    const total = candidates.total();
    const floor = ((1 - p) * total) / count;
    let size = 0;
    // The best token stays: its weight is 1 and no weight is above, so the floor is at most 1, rounded or not.
    for (let i = 0; i < count; i++) if (weights[i]! >= floor) heap[size++] = i;
    for (let i = (size >> 1) - 1; i >= 0; i--) siftBest(heap, i, size, scores);
    let mass = 0;
    let last = heap[0]!;
    do {
      last = heap[0]!;
      mass += weights[last]!;
      heap[0] = heap[--size]!;
      siftBest(heap, 0, size, scores);
    } while (size > 0 && mass < p * total);
    candidates.keepFrom(scores[last]!, last);
  };
}

/** Restores the order of a heap of positions, the best score at the root, of equals the lowest position. */
function siftBest(heap: Int32Array, at: number, size: number, scores: Float64Array): void {
  const value = heap[at]!;
  let parent = at;
  for (;;) {
    let child = 2 * parent + 1;
    if (child >= size) break;
    if (child + 1 < size && isBetter(heap[child + 1]!, heap[child]!, scores)) child++;
    if (!isBetter(heap[child]!, value, scores)) break;
    heap[parent] = heap[child]!;
    parent = child;
  }
  heap[parent] = value;
}

function isBetter(a: number, b: number, scores: Float64Array): boolean {
  const difference = scores[a]! - scores[b]!;
  return difference > 0 || (difference === 0 && a < b);
}

/** Keeps tokens at least `p` (0 to 1) times as likely as the most likely one. Source: Nguyen et al. 2024, section 3. */
export function minP(p: number): Warper {
  return (candidates) => {
    const weights = candidates.weights();
    // The weight of the best token is exactly 1, so the bound needs no normalising. It is turned into a score to
    // share the compaction: the smallest score whose weight passes.
    let lowest = 0;
    for (let i = 0; i < candidates.count; i++) {
      if (weights[i]! >= p && candidates.scores[i]! < lowest) lowest = candidates.scores[i]!;
    }
    candidates.keepFrom(lowest, candidates.count);
  };
}
