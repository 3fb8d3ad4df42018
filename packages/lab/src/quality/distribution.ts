import { MambaError } from '@mamba-ts/tensor';

/** A distribution over the vocabulary as its natural logarithms, f64. */
export class Distribution {
  /** ln p of each token. */
  readonly logs: Float64Array;
  /** The likeliest token; of equals the one with the lowest id. */
  top = 0;
  readonly #shares: Float64Array;

  constructor(vocabSize: number) {
    this.logs = new Float64Array(vocabSize);
    this.#shares = new Float64Array(vocabSize);
  }

  /**
   * The softmax of a row of logits, shifted by its maximum so that nothing overflows. Throws `LOGITS_NOT_FINITE` for a NaN,
   * a +Infinity, or nothing but -Infinity; `position` says where.
   */
  set(logits: Float32Array, position: number): void {
    let top = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[top]!) top = i;
    const max = logits[top]!;
    let sum = 0;
    for (let i = 0; i < logits.length; i++) sum += this.#shares[i] = Math.exp(logits[i]! - max);
    if (!Number.isFinite(sum)) {
      throw new MambaError(
        'LOGITS_NOT_FINITE',
        `the logits after token ${position} hold NaN or infinities; check the checkpoint, or compare with another backend`,
        { position },
      );
    }
    const logSum = Math.log(sum);
    for (let i = 0; i < logits.length; i++) {
      this.logs[i] = logits[i]! - max - logSum;
      this.#shares[i]! /= sum;
    }
    this.top = top;
  }

  /**
   * What is lost by taking `other` for this one: sum of p (ln p - ln q), in nats (Kullback & Leibler 1951). Never below 0;
   * infinite where `other` excludes a token that this one does not.
   */
  divergenceTo(other: Distribution): number {
    let sum = 0;
    for (let i = 0; i < this.logs.length; i++) {
      const share = this.#shares[i]!;
      if (share > 0) sum += share * (this.logs[i]! - other.logs[i]!);
    }
    // Rounding may leave equal distributions a hair below 0.
    return Math.max(0, sum);
  }
}
