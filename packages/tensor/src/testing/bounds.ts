import { sigmoid, softplus } from '../reference/ops/scalar.ts';

/*
 * Magnitudes against which errors are measured, in f64. Most ops sum products: their bound is the same op on absolute
 * values. The scan is the exception, because its exponentials and its recurrence pass errors on.
 */

export function absolute(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values, Math.abs);
}

/** One sequence of a scan, from an initial state; the arrays are row-major. */
export interface ScanSequence {
  readonly u: ArrayLike<number>;
  readonly delta: ArrayLike<number>;
  readonly A: ArrayLike<number>;
  readonly B: ArrayLike<number>;
  readonly C: ArrayLike<number>;
  readonly D: ArrayLike<number> | null;
  readonly z: ArrayLike<number> | null;
  readonly deltaBias: ArrayLike<number> | null;
  readonly deltaSoftplus: boolean;
  /** Clamp of the step size after softplus; none where left out. */
  readonly limit?: readonly [low: number, high: number];
  readonly rows: number;
  readonly channels: number;
  readonly states: number;
  readonly initial: ArrayLike<number>;
  readonly resets: readonly number[];
}

/**
 * First-order bounds of the rounding errors of `y` `[T, C]` and of the last state `[C, N]`, in units of the relative
 * error of one operation. With magnitude H of the state and its error E:
 *
 *     errD = |delta| + |bias|, through softplus: softplus(d) + sigmoid(d) (|delta| + |bias|)
 *     E    = a E + a (1 + |A| (|d| + errD)) H + (|d| + errD) |B u|        a = exp(d A)
 *     H    = a H + |d B u|
 *     errY = (sum_n |C| (E + H) + |D u|) * |silu(z)| (2 + |z| (1 - sigmoid(z)))
 */
export function scanBounds(s: ScanSequence): { y: Float64Array; state: Float64Array } {
  const { channels, states } = s;
  const y = new Float64Array(s.rows * channels);
  const H = absolute(s.initial);
  const E = new Float64Array(H.length);
  for (let t = 0; t < s.rows; t++) {
    if (s.resets.includes(t)) {
      H.fill(0);
      E.fill(0);
    }
    for (let c = 0; c < channels; c++) {
      const input = Math.abs(s.u[t * channels + c]!);
      const bias = s.deltaBias === null ? 0 : s.deltaBias[c]!;
      const raw = s.delta[t * channels + c]!;
      const sum = raw + bias;
      const terms = Math.abs(raw) + Math.abs(bias);
      const free = s.deltaSoftplus ? softplus(sum) : sum;
      const d = s.limit ? Math.min(Math.max(free, s.limit[0]), s.limit[1]) : free;
      // Where softplus is exactly 0 (of -infinity), or an infinite step is cut off, there is no error.
      const slope = s.deltaSoftplus ? sigmoid(sum) : 1;
      const own = slope === 0 || (d !== free && terms === Number.POSITIVE_INFINITY) ? 0 : slope * terms;
      const width = Math.abs(d) + (s.deltaSoftplus ? d : 0) + own;
      let total = 0;
      for (let n = 0; n < states; n++) {
        const i = c * states + n;
        const a = Math.exp(d * s.A[i]!);
        const product = Math.abs(s.B[t * states + n]!) * input;
        E[i] = a * E[i]! + a * (1 + Math.abs(s.A[i]!) * width) * H[i]! + width * product;
        H[i] = a * H[i]! + Math.abs(d) * product;
        total += Math.abs(s.C[t * states + n]!) * (E[i]! + H[i]!);
      }
      if (s.D !== null) total += Math.abs(s.D[c]!) * input;
      if (s.z !== null) {
        const z = s.z[t * channels + c]!;
        total *= Math.abs(z) * sigmoid(z) * (2 + Math.abs(z) * (1 - sigmoid(z)));
      }
      y[t * channels + c] = total;
    }
  }
  return { y, state: E.map((e, i) => e + H[i]!) };
}
