import { silu } from '@mamba-ts/tensor';
import { groupOf, type Recurrence } from './recurrence.ts';

/**
 * The hidden attention of one channel c of head h (Ali, Zimerman & Wolf 2024, equation 11), `[T, T]` with
 *
 *     alpha[t, s] = sum_n C[t, n] exp(A[h, n] (delta[s + 1] + … + delta[t])) delta[s] B[s, n]     for s <= t, else 0
 *
 * so that y[t] = sum_s alpha[t, s] u[s] + D u[t] before the gate. The channels of a head share it.
 */
export function hiddenAttention(r: Recurrence, head: number): Float64Array {
  const { tokens, heads, states, groups, rates, delta, A, B, C } = r;
  const group = groupOf(r, head);
  // exp(delta[t] A), `[T, N]`, computed once: the sums below multiply them up.
  const decay = new Float64Array(tokens * states);
  for (let t = 0; t < tokens; t++) {
    for (let n = 0; n < states; n++) {
      decay[t * states + n] = Math.exp(delta[t * heads + head]! * A[head * rates + (n % rates)]!);
    }
  }
  const alpha = new Float64Array(tokens * tokens);
  const left = new Float64Array(states);
  for (let s = 0; s < tokens; s++) {
    const row = (s * groups + group) * states;
    for (let n = 0; n < states; n++) left[n] = delta[s * heads + head]! * B[row + n]!;
    for (let t = s; t < tokens; t++) {
      const readAt = (t * groups + group) * states;
      let sum = 0;
      for (let n = 0; n < states; n++) {
        if (t > s) left[n]! *= decay[t * states + n]!;
        sum += C[readAt + n]! * left[n]!;
      }
      alpha[t * tokens + s] = sum;
    }
  }
  return alpha;
}

/** The output of channel `channel` from its hidden attention: `[T]`, as `r.y` holds it. */
export function reproduce(r: Recurrence, alpha: Float64Array, channel: number): Float64Array {
  const { tokens, u, D, gate } = r;
  const channels = r.heads * r.width;
  const y = new Float64Array(tokens);
  for (let t = 0; t < tokens; t++) {
    let sum = D[channel]! * u[t * channels + channel]!;
    for (let s = 0; s <= t; s++) sum += alpha[t * tokens + s]! * u[s * channels + channel]!;
    y[t] = r.gated ? sum * silu(gate[t * channels + channel]!) : sum;
  }
  return y;
}

export interface GroupAttention {
  /** Mean of |alpha| over the channels of the group, `[T, T]`. */
  readonly mean: Float64Array;
  /** Largest absolute difference between the group's y and what hidden attention makes of its inputs. */
  readonly difference: number;
  /** max - min of the group's y. */
  readonly range: number;
}

/** The hidden attention of the channels `from` to `to` (with it), and how well it reproduces their y. */
export async function groupAttention(
  r: Recurrence,
  [from, to]: readonly [from: number, to: number],
  pause: () => Promise<void>,
): Promise<GroupAttention> {
  const { tokens } = r;
  const channels = r.heads * r.width;
  const mean = new Float64Array(tokens * tokens);
  let [difference, low, high] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  let alpha: Float64Array = mean;
  for (let c = from; c <= to; c++) {
    const head = Math.floor(c / r.width);
    if (c === from || c % r.width === 0) {
      alpha = hiddenAttention(r, head);
      await pause();
    }
    for (let i = 0; i < mean.length; i++) mean[i]! += Math.abs(alpha[i]!) / (to - from + 1);
    const y = reproduce(r, alpha, c);
    for (let t = 0; t < tokens; t++) {
      const found = r.y[t * channels + c]!;
      difference = Math.max(difference, Math.abs(y[t]! - found));
      low = Math.min(low, found);
      high = Math.max(high, found);
    }
  }
  return { mean, difference, range: high - low };
}
