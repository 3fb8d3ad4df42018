import type { UpdateSkipping } from '../../backend.ts';
import { accumulate, addInto, type BackwardRun, type FloatArray, type Matrix, type Run } from '../matrix.ts';
import { count, largest } from '../skipping.ts';
import { backwardThroughTime } from '../through-time.ts';
import { silu, siluSlope, softplus, softplusSlope } from './scalar.ts';

/**
 * The selective scan, one row after another:
 *
 *     d[t, c]    = delta[t, c] + deltaBias[c], through softplus where asked
 *     h[c, n]    = exp(d[t, c] A[c, n]) h[c, n] + d[t, c] B[t, n] u[t, c]
 *     y[t, c]    = (sum_n C[t, n] h[c, n] + D[c] u[t, c]) * silu(z[t, c])
 *
 * u, delta, z `[T, C]`; A `[C, N]`; B, C `[T, N]`; D, deltaBias `[C]` -> y `[T, C]`. Each run's state h is `[C, N]`.
 * h is rounded to the precision of the state after every row, so that a scan in pieces equals the whole exactly. With
 * `skipping`, h[c] stays where |d| max_n |A[c, n]| and |d u| max_n |B[t, n]| are below its `below`.
 * Source: Gu & Dao 2023, algorithm 2; state-spaces/mamba ops/selective_scan_interface.py selective_scan_ref.
 */
export function selectiveScan(
  u: Matrix,
  delta: Matrix,
  A: FloatArray,
  B: Matrix,
  C: Matrix,
  D: FloatArray | null,
  z: Matrix | null,
  deltaBias: FloatArray | null,
  deltaSoftplus: boolean,
  runs: readonly Run[],
  y: FloatArray,
  skipping?: UpdateSkipping,
): void {
  const channels = u.columns;
  const states = B.columns;
  const stays = (d: number, input: number, c: number, rowB: number): boolean =>
    skipping !== undefined &&
    count(
      skipping,
      Math.abs(d) * largest(A, c * states, states) < skipping.below &&
        Math.abs(d * input) * largest(B.data, rowB, states) < skipping.below,
    );
  for (const run of runs) {
    const h = run.state;
    if (run.reset) h.fill(0);
    for (let t = run.start; t < run.start + run.length; t++) {
      const rowB = B.offset + t * B.stride;
      const rowC = C.offset + t * C.stride;
      for (let c = 0; c < channels; c++) {
        const input = u.data[u.offset + t * u.stride + c]!;
        let d = delta.data[delta.offset + t * delta.stride + c]!;
        if (deltaBias !== null) d += deltaBias[c]!;
        if (deltaSoftplus) d = softplus(d);
        const still = stays(d, input, c, rowB);
        let sum = 0;
        for (let n = 0; n < states; n++) {
          const i = c * states + n;
          if (!still) h[i] = Math.exp(d * A[i]!) * h[i]! + d * B.data[rowB + n]! * input;
          sum += C.data[rowC + n]! * h[i]!; // [N] . [N] -> scalar
        }
        if (D !== null) sum += D[c]! * input;
        y[t * channels + c] = z === null ? sum : sum * silu(z.data[z.offset + t * z.stride + c]!);
      }
    }
  }
}

/** Gradients of `selectiveScan` that are wanted. */
export interface SelectiveScanGradients<M, W> {
  readonly u: M | null;
  readonly delta: M | null;
  readonly A: W | null;
  readonly B: M | null;
  readonly C: M | null;
  readonly D: W | null;
  readonly z: M | null;
  readonly deltaBias: W | null;
}

/** Gradients of `selectiveScan` to its inputs, weights and state. dy `[T, C]`. */
export function selectiveScanBackward(
  u: Matrix,
  delta: Matrix,
  A: FloatArray,
  B: Matrix,
  C: Matrix,
  D: FloatArray | null,
  z: Matrix | null,
  deltaBias: FloatArray | null,
  deltaSoftplus: boolean,
  runs: readonly BackwardRun[],
  dy: Matrix,
  gradients: SelectiveScanGradients<Matrix, FloatArray>,
): void {
  const channels = u.columns;
  const states = B.columns;
  const y = new Float64Array(u.rows * channels);
  const sums = { A: new Float64Array(A.length), D: new Float64Array(channels), bias: new Float64Array(channels) };
  const at = (m: Matrix, t: number, c: number): number => m.data[m.offset + t * m.stride + c]!;
  const forward = (t: number, [state]: readonly FloatArray[]): void =>
    selectiveScan(
      u,
      delta,
      A,
      B,
      C,
      D,
      z,
      deltaBias,
      deltaSoftplus,
      [{ start: t, length: 1, reset: false, state: state! }],
      y,
    );
  backwardThroughTime(runs, forward, (t, [before], [after], [gradient]) => {
    for (let c = 0; c < channels; c++) {
      const input = at(u, t, c);
      const raw = at(delta, t, c) + (deltaBias === null ? 0 : deltaBias[c]!);
      const d = deltaSoftplus ? softplus(raw) : raw;
      let slope = at(dy, t, c);
      if (z !== null) {
        let sum = D === null ? 0 : D[c]! * input;
        for (let n = 0; n < states; n++) sum += at(C, t, n) * after![c * states + n]!;
        accumulate(gradients.z, t, c, slope * sum * siluSlope(at(z, t, c)));
        slope *= silu(at(z, t, c));
      }
      sums.D[c]! += slope * input;
      let du = D === null ? 0 : slope * D[c]!;
      let dd = 0;
      for (let n = 0; n < states; n++) {
        const i = c * states + n;
        const decay = Math.exp(d * A[i]!);
        accumulate(gradients.C, t, n, slope * after![i]!);
        const dh = gradient![i]! + slope * at(C, t, n);
        sums.A[i]! += dh * before![i]! * decay * d;
        dd += dh * (before![i]! * decay * A[i]! + at(B, t, n) * input);
        accumulate(gradients.B, t, n, dh * d * input);
        du += dh * d * at(B, t, n);
        gradient![i] = dh * decay;
      }
      accumulate(gradients.u, t, c, du);
      const draw = deltaSoftplus ? dd * softplusSlope(raw) : dd;
      accumulate(gradients.delta, t, c, draw);
      sums.bias[c]! += draw;
    }
  });
  addInto(gradients.A, sums.A);
  addInto(gradients.D, sums.D);
  addInto(gradients.deltaBias, sums.bias);
}
