import type { FloatArray, Matrix, Run } from '../matrix.ts';
import { softplus } from './scalar.ts';

/**
 * The recurrence of Mamba-2, one row after another; head h reads B and C of group g = floor(h / (H / G)):
 *
 *     d[t, h]       = clamp(softplus(dt[t, h] + dtBias[h]), low, high)
 *     S[h, p, n]    = exp(d[t, h] A[h]) S[h, p, n] + d[t, h] x[t, h, p] B[t, g, n]
 *     y[t, h, p]    = sum_n C[t, g, n] S[h, p, n] + D[h, p] x[t, h, p]
 *
 * x `[T, H P]`; dt `[T, H]`; A, dtBias `[H]`; B, C `[T, G N]`; D `[H]` (the same for all p) or `[H P]` -> y `[T, H P]`.
 * Each run's state S is `[H, P, N]`. Source: Dao & Gu 2024, section 3 and listing 1; state-spaces/mamba
 * ops/triton/selective_state_update.py selective_state_update_ref.
 */
export function ssd(
  x: Matrix,
  dt: Matrix,
  A: FloatArray,
  B: Matrix,
  C: Matrix,
  D: FloatArray | null,
  dtBias: FloatArray | null,
  [low, high]: readonly [low: number, high: number],
  states: number,
  runs: readonly Run[],
  y: FloatArray,
): void {
  const heads = dt.columns;
  const width = heads === 0 ? 0 : x.columns / heads; // P
  const groups = states === 0 ? 1 : B.columns / states;
  for (const run of runs) {
    const S = run.state;
    if (run.reset) S.fill(0);
    for (let t = run.start; t < run.start + run.length; t++) {
      for (let h = 0; h < heads; h++) {
        const group = Math.floor(h / (heads / groups));
        const rowB = B.offset + t * B.stride + group * states;
        const rowC = C.offset + t * C.stride + group * states;
        const raw = dt.data[dt.offset + t * dt.stride + h]! + (dtBias === null ? 0 : dtBias[h]!);
        const d = Math.min(Math.max(softplus(raw), low), high);
        const decay = Math.exp(d * A[h]!);
        for (let p = 0; p < width; p++) {
          const channel = h * width + p;
          const input = x.data[x.offset + t * x.stride + channel]!;
          let sum = 0;
          for (let n = 0; n < states; n++) {
            const i = channel * states + n;
            S[i] = decay * S[i]! + d * input * B.data[rowB + n]!;
            sum += C.data[rowC + n]! * S[i]!; // [N] . [N] -> scalar
          }
          const skip = D === null ? 0 : D[D.length === heads ? h : channel]! * input;
          y[t * x.columns + channel] = sum + skip;
        }
      }
    }
  }
}
