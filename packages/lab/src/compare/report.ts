/** One model at one length of text. */
export interface ComparePoint {
  /** Tokens of the text. */
  readonly length: number;
  /** From a fresh state to the logits after the last token; median over `repeats`. Milliseconds. */
  readonly prefill_ms: number;
  /** One more token at this depth; median over nine blocks. Milliseconds. */
  readonly decode_ms: number;
  /** State or KV cache of this one text. */
  readonly state_bytes: number;
  /** Floating-point operations to read the text, counted from the shapes (a multiply-add is two). */
  readonly flops: number;
  /** How often the prefill was measured. */
  readonly repeats: number;
  /** False: the time did not suffice; both times are a power law through the two longest measured points. */
  readonly measured: boolean;
}

/** Nats per token at the positions `from` to `to - 1` of a text that starts from a fresh state. */
export interface QualityBucket {
  /** First position, counted from the start of a window. */
  readonly from: number;
  /** First position behind it. */
  readonly to: number;
  /** Scored there, over all windows. */
  readonly tokens: number;
  /** Mean of -ln p. */
  readonly nats_per_token: number;
}

/** One model of a {@link CompareReport}, in the field names of its JSON. */
export interface ComparedModel {
  readonly name: string;
  /** Numbers in the weights. */
  readonly params: number;
  /** In memory. */
  readonly weight_bytes: number;
  /** By length, ascending. */
  readonly points: readonly ComparePoint[];
  /** Least-squares slope of log time over log length: 1 is linear, 2 quadratic. Null below two measured points. */
  readonly prefill_exponent: number | null;
  /** The same of the time per token: 0 is flat. */
  readonly decode_exponent: number | null;
  /** Of the prefill, between these two lengths alone. Null unless both were measured. */
  readonly exponent_2048_8192: number | null;
  /** How well it predicts the given text, by position; absent where no text was given. */
  readonly quality?: readonly QualityBucket[];
}

/** What `compare` measures; the JSON of `mamba compare`. */
export interface CompareReport {
  readonly models: readonly ComparedModel[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The least-squares slope of `log y` over `log x`; null below two points. */
export function exponent(points: readonly { readonly x: number; readonly y: number }[]): number | null {
  if (points.length < 2) return null;
  const xs = points.map(({ x }) => Math.log(x));
  const ys = points.map(({ y }) => Math.log(y));
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const covariance = xs.reduce((sum, x, i) => sum + (x - mx) * (ys[i]! - my), 0);
  const variance = xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
  return covariance / variance;
}

/** `y` at `x` on the power law through the last two of `known` (ascending in x); of slope `alone` where it is one. */
export function powerLaw(
  known: readonly { readonly x: number; readonly y: number }[],
  x: number,
  alone: number,
): number {
  const last = known.at(-1);
  if (!last) return Number.NaN;
  const slope = exponent(known.slice(-2)) ?? alone;
  return last.y * (x / last.x) ** slope;
}
