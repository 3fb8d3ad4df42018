/**
 * What penalties look at: which ids the prompt and the text hold, and how often each was generated. One per
 * generation; its memory is fixed by the vocabulary, not by the length of the text.
 */
export class TokenHistory {
  /** Distinct ids of prompt and generated text, the first `distinct` elements, in order of first appearance. */
  readonly ids: Int32Array;
  /** How often each id was generated; the prompt does not count. `[vocabSize]`. */
  readonly counts: Uint32Array;
  readonly #present: Uint8Array;
  #distinct = 0;
  #generated = 0;

  constructor(vocabSize: number) {
    this.ids = new Int32Array(vocabSize);
    this.counts = new Uint32Array(vocabSize);
    this.#present = new Uint8Array(vocabSize);
  }

  /** How many different tokens there are: the filled part of `ids` and `counts`. */
  get distinct(): number {
    return this.#distinct;
  }

  /** Tokens generated so far, which is also the index of the next draw. */
  get generated(): number {
    return this.#generated;
  }

  /** Notes ids (each from 0 to vocabSize - 1) that were given, not generated. */
  addPrompt(ids: ArrayLike<number>): void {
    for (let i = 0; i < ids.length; i++) this.#add(ids[i]!);
  }

  /** Notes one generated id (from 0 to vocabSize - 1). */
  addGenerated(id: number): void {
    this.#add(id);
    this.counts[id]!++;
    this.#generated++;
  }

  #add(id: number): void {
    if (this.#present[id]) return;
    this.#present[id] = 1;
    this.ids[this.#distinct++] = id;
  }
}

/** Changes logits (`[vocabSize]`, f64) in place before the choice: penalties, biases, grammars. */
export type LogitsProcessor = (logits: Float64Array, history: TokenHistory) => void;

/** Adds a number to the logits of single ids; -Infinity forbids an id. */
export function logitBias(entries: readonly (readonly [id: number, bias: number])[]): LogitsProcessor {
  return (logits) => {
    for (const [id, bias] of entries) logits[id]! += bias;
  };
}

/**
 * Divides positive and multiplies negative logits of all ids in prompt and text by `penalty` (> 0; above 1 makes a
 * repetition less likely). Source: Keskar et al. 2019 (CTRL) section 4.1, with the sign rule of transformers'
 * RepetitionPenaltyLogitsProcessor.
 */
export function repetitionPenalty(penalty: number): LogitsProcessor {
  return (logits, history) => {
    for (let i = 0; i < history.distinct; i++) {
      const id = history.ids[i]!;
      const logit = logits[id]!;
      logits[id] = logit < 0 ? logit * penalty : logit / penalty;
    }
  };
}

/**
 * `logit -= count * frequency + (count > 0) * presence`, where count is how often the id was generated; the prompt
 * does not count. Source: OpenAI API reference, frequency and presence penalties.
 */
export function countPenalties(frequency: number, presence: number): LogitsProcessor {
  return (logits, history) => {
    for (let i = 0; i < history.distinct; i++) {
      const id = history.ids[i]!;
      const count = history.counts[id]!;
      if (count > 0) logits[id]! -= count * frequency + presence;
    }
  };
}
