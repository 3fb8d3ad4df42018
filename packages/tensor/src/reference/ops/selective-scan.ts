import type { FloatArray, Matrix, Run } from '../matrix.ts';
import { silu, softplus } from './scalar.ts';

/**
 * The selective scan, one row after another:
 *
 *     d[t, c]    = delta[t, c] + deltaBias[c], through softplus where asked
 *     h[c, n]    = exp(d[t, c] A[c, n]) h[c, n] + d[t, c] B[t, n] u[t, c]
 *     y[t, c]    = (sum_n C[t, n] h[c, n] + D[c] u[t, c]) * silu(z[t, c])
 *
 * u, delta, z `[T, C]`; A `[C, N]`; B, C `[T, N]`; D, deltaBias `[C]` -> y `[T, C]`. Each run's state h is `[C, N]`.
 * h is rounded to the precision of the state after every row, so that a scan in pieces equals the whole exactly.
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
): void {
  const channels = u.columns;
  const states = B.columns;
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
        let sum = 0;
        for (let n = 0; n < states; n++) {
          const i = c * states + n;
          h[i] = Math.exp(d * A[i]!) * h[i]! + d * B.data[rowB + n]! * input;
          sum += C.data[rowC + n]! * h[i]!; // [N] . [N] -> scalar
        }
        if (D !== null) sum += D[c]! * input;
        y[t * channels + c] = z === null ? sum : sum * silu(z.data[z.offset + t * z.stride + c]!);
      }
    }
  }
}
