import { BYTE_TO_CHARACTER } from './bytes.ts';
import { TokenizerError } from './errors.ts';
import { splitGpt2 } from './split.ts';

/** How to learn a vocabulary. */
export interface TrainTokenizerOptions {
  /** Tokens at most: special ones, the 256 bytes, then one per merge. */
  readonly vocabSize: number;
  /** Tokens that no text makes, first in the vocabulary; `<|endoftext|>` unless told otherwise. */
  readonly specialTokens?: readonly string[];
  /** Pairs that occur less often are not merged; 1 unless told otherwise. */
  readonly minFrequency?: number;
  /** Ends it between two merges by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Called now and then with the merges learned, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A word of the text as the ids of its tokens, and how often it occurs. */
interface Word {
  ids: number[];
  readonly count: number;
}

/** Ids stay below 2^24, so that a pair is one exact number; in ascending order of it, ties are broken. */
const PAIR_SPAN = 2 ** 24;
const pairOf = (left: number, right: number): number => left * PAIR_SPAN + right;

/**
 * Learns a byte-level BPE vocabulary (Sennrich et al. 2016; GPT-2's words and bytes) and returns it as tokenizer.json has
 * it: the same tokens and merges, in the same order, as Hugging Face tokenizers' BpeTrainer with the initial alphabet of
 * ByteLevel. In each step the most frequent pair is merged, of equals the one of lower ids.
 *
 * Throws `TOKENIZER_ARGUMENT` where `vocabSize` has no room for the bytes or a special token occurs twice, and the signal's reason.
 */
export function trainTokenizer(texts: Iterable<string>, options: TrainTokenizerOptions): object {
  const { vocabSize, specialTokens = ['<|endoftext|>'], minFrequency = 1, signal, onProgress } = options;
  const alphabet = [...BYTE_TO_CHARACTER].sort();
  const tokens = [...specialTokens, ...alphabet];
  if (!Number.isSafeInteger(vocabSize) || vocabSize < tokens.length || vocabSize >= PAIR_SPAN) {
    const least = `${specialTokens.length} special tokens and 256 bytes`;
    throw new TokenizerError(
      'TOKENIZER_ARGUMENT',
      `a vocabulary of ${vocabSize} tokens has no room for ${least}: give a size of ${tokens.length} to ${PAIR_SPAN - 1}`,
    );
  }
  const known = new Map(tokens.map((token, id) => [token, id]));
  if (known.size < tokens.length) throw new TokenizerError('TOKENIZER_ARGUMENT', 'a special token occurs twice');

  const words = wordsOf(texts, known);
  const counts = new Map<number, number>();
  const places = new Map<number, Set<number>>();
  const change = (pair: number, by: number, word: number): void => {
    counts.set(pair, (counts.get(pair) ?? 0) + by);
    if (by < 0) return;
    const found = places.get(pair);
    if (found) found.add(word);
    else places.set(pair, new Set([word]));
  };
  for (const [at, { ids, count }] of words.entries()) {
    for (let i = 1; i < ids.length; i++) change(pairOf(ids[i - 1]!, ids[i]!), count, at);
  }
  const queue = new PairQueue();
  for (const [pair, count] of counts) queue.push(pair, count);

  const merges: [string, string][] = [];
  const total = vocabSize - tokens.length;
  while (tokens.length < vocabSize) {
    if (merges.length % 64 === 0) {
      signal?.throwIfAborted();
      onProgress?.(merges.length, total);
    }
    const pair = queue.pop(counts, minFrequency);
    if (pair === null) break;
    const [left, right] = [Math.floor(pair / PAIR_SPAN), pair % PAIR_SPAN];
    const token = tokens[left]! + tokens[right]!;
    merges.push([tokens[left]!, tokens[right]!]);
    let id = known.get(token);
    if (id === undefined) {
      id = tokens.push(token) - 1;
      known.set(token, id);
    }
    const touched = new Set<number>();
    for (const at of places.get(pair)!) {
      const word = words[at]!;
      const merged = mergeIn(word.ids, left, right, id);
      if (merged.length === word.ids.length) continue;
      for (let i = 1; i < word.ids.length; i++) change(pairOf(word.ids[i - 1]!, word.ids[i]!), -word.count, at);
      word.ids = merged;
      for (let i = 1; i < merged.length; i++) {
        const made = pairOf(merged[i - 1]!, merged[i]!);
        change(made, word.count, at);
        if (merged[i - 1] === id || merged[i] === id) touched.add(made);
      }
    }
    counts.delete(pair);
    places.delete(pair);
    for (const made of touched) queue.push(made, counts.get(made)!);
  }
  onProgress?.(total, total);
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map((content, id) => {
      return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
    }),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
      merges,
    },
  };
}

/** The distinct words of the texts as ids of bytes. */
function wordsOf(texts: Iterable<string>, known: ReadonlyMap<string, number>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) {
    const whole = text.toWellFormed();
    splitGpt2(whole, (start, end) => {
      const word = whole.slice(start, end);
      counts.set(word, (counts.get(word) ?? 0) + 1);
    });
  }
  const byteIds = BYTE_TO_CHARACTER.map((character) => known.get(character)!);
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    ids: Array.from(encoder.encode(word), (byte) => byteIds[byte]!),
    count,
  }));
}

function mergeIn(ids: readonly number[], left: number, right: number, merged: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) {
      out.push(merged);
      i++;
    } else out.push(ids[i]!);
  }
  return out;
}

/** Pairs by count, the most frequent first, of equals the lowest. An entry may be stale: then it is put back as it should be. */
class PairQueue {
  readonly #heap: { pair: number; count: number }[] = [];

  push(pair: number, count: number): void {
    const heap = this.#heap;
    let at = heap.push({ pair, count }) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!before(heap[at]!, heap[above]!)) break;
      [heap[at], heap[above]] = [heap[above]!, heap[at]!];
      at = above;
    }
  }

  /** The most frequent pair that occurs at least `least` times, or null. */
  pop(counts: ReadonlyMap<number, number>, least: number): number | null {
    for (let top = this.#take(); top; top = this.#take()) {
      const count = counts.get(top.pair) ?? 0;
      if (count !== top.count) {
        if (count > 0) this.push(top.pair, count);
      } else return count >= Math.max(1, least) ? top.pair : null;
    }
    return null;
  }

  #take(): { pair: number; count: number } | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (heap.length === 0 || !last) return top;
    heap[0] = last;
    for (let at = 0; ; ) {
      let first = at;
      for (const below of [2 * at + 1, 2 * at + 2]) {
        if (below < heap.length && before(heap[below]!, heap[first]!)) first = below;
      }
      if (first === at) return top;
      [heap[at], heap[first]] = [heap[first]!, heap[at]!];
      at = first;
    }
  }
}

const before = (a: { pair: number; count: number }, b: { pair: number; count: number }): boolean =>
  a.count > b.count || (a.count === b.count && a.pair < b.pair);
