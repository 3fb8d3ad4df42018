import { silu } from '@mamba-ts/tensor';
import { groupOf, type Recurrence } from './recurrence.ts';

/** What a layer did with each token; every array has one number per token. */
export interface TokenMeasures {
  /** The step, mean over heads: how far the token moves the state. */
  readonly delta: number[];
  /** Mean of exp(delta A) over heads and states: the share of the state that survives the token. */
  readonly retention: number[];
  /** Size (Frobenius norm) of what the token writes to the state, delta B u. */
  readonly written: number[];
  /** Mean of |silu(gate)|: how far the way out stands open. */
  readonly gate: number[];
  /**
   * Tokens until half of what this one wrote is gone (by norm, at least 1); past the end of the text as if delta went on
   * at its mean. Null: never within a million tokens, or nothing was written.
   */
  readonly half_life: (number | null)[];
  /** Share of what the token wrote (by norm) that is still in the state after the text. */
  readonly remaining: number[];
  /** The tokens still above their half-life whose half goes next, soonest first, and after how many further tokens. */
  readonly forgotten_next: { readonly token: number; readonly after: number }[];
}

const FOREVER = 1_000_000;
const NEXT = 5;

/** All of them; `pause` is awaited between tokens. */
export async function measure(r: Recurrence, pause: () => Promise<void>): Promise<TokenMeasures> {
  const tokens = Array.from({ length: r.tokens }, (_, t) => t);
  const memory = new Memory(r);
  const lives: (number | null)[] = [];
  for (const t of tokens) {
    lives.push(memory.halfLife(t));
    await pause();
  }
  return {
    delta: tokens.map((t) => mean(r.delta.subarray(t * r.heads, (t + 1) * r.heads))),
    retention: tokens.map((t) => retention(r, t)),
    written: tokens.map((t) => Math.sqrt(memory.energy(t))),
    gate: tokens.map((t) => gate(r, t)),
    half_life: lives,
    remaining: tokens.map((t) => memory.remaining(t, r.tokens - 1 - t)),
    forgotten_next: tokens
      .flatMap((token) => (lives[token] === null ? [] : [{ token, after: token + lives[token]! - (r.tokens - 1) }]))
      .filter(({ after }) => after > 0)
      .sort((a, b) => a.after - b.after || a.token - b.token)
      .slice(0, NEXT),
  };
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

function retention(r: Recurrence, t: number): number {
  let sum = 0;
  for (let i = 0; i < r.A.length; i++) sum += Math.exp(r.delta[t * r.heads + Math.floor(i / r.rates)]! * r.A[i]!);
  return sum / r.A.length;
}

function gate(r: Recurrence, t: number): number {
  const channels = r.heads * r.width;
  let sum = 0;
  for (let c = 0; c < channels; c++) sum += Math.abs(silu(r.gate[t * channels + c]!));
  return sum / channels;
}

/** How long what each token wrote stays: every element of the state fades by exp(A times the sum of delta since). */
class Memory {
  readonly #r: Recurrence;
  /** Sum of delta up to and with token t, `[T, H]`. */
  readonly #elapsed: Float64Array;
  /** Mean delta, `[H]`: how the text is taken to go on. */
  readonly #pace: Float64Array;
  /** Squares of what the token in hand wrote, `[H, M]`: states of one rate are one. */
  readonly #written: Float64Array;
  #token = -1;
  #energy = 0;

  constructor(r: Recurrence) {
    this.#r = r;
    this.#elapsed = r.delta.slice();
    for (let i = r.heads; i < r.delta.length; i++) this.#elapsed[i]! += this.#elapsed[i - r.heads]!;
    const last = this.#elapsed.subarray((r.tokens - 1) * r.heads);
    this.#pace = last.map((sum) => sum / r.tokens);
    this.#written = new Float64Array(r.heads * r.rates);
  }

  /** The square of the size of what `t` wrote. */
  energy(t: number): number {
    if (t === this.#token) return this.#energy;
    const { heads, width, states, groups, rates, delta, B, u } = this.#r;
    this.#written.fill(0);
    for (let h = 0; h < heads; h++) {
      const channels = u.subarray((t * heads + h) * width, (t * heads + h + 1) * width);
      const input = delta[t * heads + h]! ** 2 * channels.reduce((sum, value) => sum + value * value, 0);
      const row = (t * groups + groupOf(this.#r, h)) * states;
      for (let n = 0; n < states; n++) this.#written[h * rates + (n % rates)]! += input * B[row + n]! ** 2;
    }
    this.#token = t;
    this.#energy = this.#written.reduce((sum, value) => sum + value, 0);
    return this.#energy;
  }

  /** The share of what `t` wrote that is left after `further` tokens, by norm. */
  remaining(t: number, further: number): number {
    const total = this.energy(t);
    if (total === 0) return 0;
    const { tokens, heads, rates, A } = this.#r;
    const end = Math.min(t + further, tokens - 1);
    const beyond = t + further - end;
    let left = 0;
    for (let h = 0; h < heads; h++) {
      const passed = this.#elapsed[end * heads + h]! - this.#elapsed[t * heads + h]! + beyond * this.#pace[h]!;
      for (let m = h * rates; m < (h + 1) * rates; m++) left += this.#written[m]! * Math.exp(2 * A[m]! * passed);
    }
    return Math.sqrt(left / total);
  }

  /** By bisection: what is left only shrinks. */
  halfLife(t: number): number | null {
    if (this.energy(t) === 0) return null;
    let high = 1;
    while (this.remaining(t, high) > 0.5) {
      if (high >= FOREVER) return null;
      high *= 2;
    }
    let low = Math.floor(high / 2);
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.remaining(t, middle) > 0.5) low = middle;
      else high = middle;
    }
    return high;
  }
}
