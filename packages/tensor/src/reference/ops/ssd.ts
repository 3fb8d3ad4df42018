import type { UpdateSkipping } from '../../backend.ts';
import { accumulate, addInto, type BackwardRun, type FloatArray, type Matrix, type Run } from '../matrix.ts';
import { count, largest } from '../skipping.ts';
import { backwardThroughTime } from '../through-time.ts';
import { softplus, softplusSlope } from './scalar.ts';

/**
 * The recurrence of Mamba-2, one row after another; head h reads B and C of group g = floor(h / (H / G)):
 *
 *     d[t, h]       = clamp(softplus(dt[t, h] + dtBias[h]), low, high)
 *     S[h, p, n]    = exp(d[t, h] A[h]) S[h, p, n] + d[t, h] x[t, h, p] B[t, g, n]
 *     y[t, h, p]    = sum_n C[t, g, n] S[h, p, n] + D[h, p] x[t, h, p]
 *
 * x `[T, H P]`; dt `[T, H]`; A, dtBias `[H]`; B, C `[T, G N]`; D `[H]` (the same for all p) or `[H P]` -> y `[T, H P]`.
 * Each run's state S is `[H, P, N]`. With `skipping`, S[h] stays where |d A[h]| and d max_p |x[t, h, p]| max_n |B[t, g, n]|
 * are below its `below`. Source: Dao & Gu 2024, section 3 and listing 1; state-spaces/mamba
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
  skipping?: UpdateSkipping,
): void {
  const heads = dt.columns;
  const width = heads === 0 ? 0 : x.columns / heads; // P
  const groups = states === 0 ? 1 : B.columns / states;
  const stays = (d: number, a: number, rowX: number, rowB: number): boolean =>
    skipping !== undefined &&
    count(
      skipping,
      Math.abs(d * a) < skipping.below &&
        d * largest(x.data, rowX, width) * largest(B.data, rowB, states) < skipping.below,
    );
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
        const still = stays(d, A[h]!, x.offset + t * x.stride + h * width, rowB);
        for (let p = 0; p < width; p++) {
          const channel = h * width + p;
          const input = x.data[x.offset + t * x.stride + channel]!;
          let sum = 0;
          for (let n = 0; n < states; n++) {
            const i = channel * states + n;
            if (!still) S[i] = decay * S[i]! + d * input * B.data[rowB + n]!;
            sum += C.data[rowC + n]! * S[i]!; // [N] . [N] -> scalar
          }
          const skip = D === null ? 0 : D[D.length === heads ? h : channel]! * input;
          y[t * x.columns + channel] = sum + skip;
        }
      }
    }
  }
}

/** Gradients of `ssd` that are wanted. */
export interface SsdGradients<M, W> {
  readonly x: M | null;
  readonly dt: M | null;
  readonly A: W | null;
  readonly B: M | null;
  readonly C: M | null;
  readonly D: W | null;
  readonly dtBias: W | null;
}

/** Gradients of `ssd` to its inputs, weights and state. dy `[T, H P]`. The clamp passes what lies within it, ends included. */
export function ssdBackward(
  x: Matrix,
  dt: Matrix,
  A: FloatArray,
  B: Matrix,
  C: Matrix,
  D: FloatArray | null,
  dtBias: FloatArray | null,
  dtLimit: readonly [low: number, high: number],
  states: number,
  runs: readonly BackwardRun[],
  dy: Matrix,
  gradients: SsdGradients<Matrix, FloatArray>,
): void {
  const heads = dt.columns;
  const width = heads === 0 ? 0 : x.columns / heads;
  const groups = states === 0 ? 1 : B.columns / states;
  const [low, high] = dtLimit;
  const y = new Float64Array(x.rows * x.columns);
  const sums = { A: new Float64Array(heads), D: new Float64Array(D?.length ?? 0), bias: new Float64Array(heads) };
  const at = (m: Matrix, t: number, c: number): number => m.data[m.offset + t * m.stride + c]!;
  const forward = (t: number, [state]: readonly FloatArray[]): void =>
    ssd(x, dt, A, B, C, D, dtBias, dtLimit, states, [{ start: t, length: 1, reset: false, state: state! }], y);
  backwardThroughTime(runs, forward, (t, [before], [after], [gradient]) => {
    for (let h = 0; h < heads; h++) {
      const first = Math.floor(h / (heads / groups)) * states; // column of the group
      const raw = at(dt, t, h) + (dtBias === null ? 0 : dtBias[h]!);
      const free = softplus(raw);
      const d = Math.min(Math.max(free, low), high);
      const decay = Math.exp(d * A[h]!);
      let [ddecay, dd] = [0, 0];
      for (let p = 0; p < width; p++) {
        const channel = h * width + p;
        const input = at(x, t, channel);
        const slope = at(dy, t, channel);
        let dx = 0;
        if (D !== null) {
          const i = D.length === heads ? h : channel;
          sums.D[i]! += slope * input;
          dx += slope * D[i]!;
        }
        for (let n = 0; n < states; n++) {
          const i = channel * states + n;
          accumulate(gradients.C, t, first + n, slope * after![i]!);
          const dS = gradient![i]! + slope * at(C, t, first + n);
          ddecay += dS * before![i]!;
          dd += dS * input * at(B, t, first + n);
          dx += dS * d * at(B, t, first + n);
          accumulate(gradients.B, t, first + n, dS * d * input);
          gradient![i] = dS * decay;
        }
        accumulate(gradients.x, t, channel, dx);
      }
      sums.A[h]! += ddecay * decay * d;
      dd += ddecay * decay * A[h]!;
      const draw = free < low || free > high ? 0 : dd * softplusSlope(raw);
      accumulate(gradients.dt, t, h, draw);
      sums.bias[h]! += draw;
    }
  });
  addInto(gradients.A, sums.A);
  addInto(gradients.D, sums.D);
  addInto(gradients.dtBias, sums.bias);
}
