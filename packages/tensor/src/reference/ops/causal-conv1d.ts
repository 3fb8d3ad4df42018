import { accumulate, addInto, type BackwardRun, type FloatArray, type Matrix, type Run } from '../matrix.ts';
import { backwardThroughTime } from '../through-time.ts';
import { silu, siluSlope } from './scalar.ts';

/**
 * `y[t, c] = act(bias[c] + sum_k w[c, k] x[t - K + 1 + k, c])`: depthwise, causal; the last tap meets the current row.
 *
 * x `[T, C]`, w `[C, K]`, bias `[C]` or null -> y `[T, C]`. Each run's state `[C, K-1]` holds the K-1 rows before it,
 * oldest first. Source: Dao-AILab/causal-conv1d causal_conv1d_ref and causal_conv1d_update_ref.
 */
export function causalConv1d(
  x: Matrix,
  w: FloatArray,
  bias: FloatArray | null,
  activation: 'silu' | 'none',
  runs: readonly Run[],
  y: FloatArray,
): void {
  const channels = x.columns;
  if (channels === 0) return;
  const taps = w.length / channels;
  const past = taps - 1;
  for (const run of runs) {
    if (run.reset) run.state.fill(0);
    for (let t = run.start; t < run.start + run.length; t++) {
      for (let c = 0; c < channels; c++) {
        const now = x.data[x.offset + t * x.stride + c]!;
        let sum = bias === null ? 0 : bias[c]!;
        for (let k = 0; k < past; k++) sum += w[c * taps + k]! * run.state[c * past + k]!; // [K-1] . [K-1] -> scalar
        sum += w[c * taps + past]! * now;
        y[t * channels + c] = activation === 'silu' ? silu(sum) : sum;
        for (let k = 0; k + 1 < past; k++) run.state[c * past + k] = run.state[c * past + k + 1]!;
        if (past > 0) run.state[c * past + past - 1] = now;
      }
    }
  }
}

/** Gradients of `causalConv1d` to x, w, bias and the state. dy `[T, C]`. */
export function causalConv1dBackward(
  x: Matrix,
  w: FloatArray,
  bias: FloatArray | null,
  activation: 'silu' | 'none',
  runs: readonly BackwardRun[],
  dy: Matrix,
  dx: Matrix | null,
  dw: FloatArray | null,
  dbias: FloatArray | null,
): void {
  const channels = x.columns;
  if (channels === 0) return;
  const taps = w.length / channels;
  const past = taps - 1;
  const y = new Float64Array(x.rows * channels);
  const sums = { w: new Float64Array(w.length), bias: new Float64Array(channels) };
  backwardThroughTime(
    runs,
    (t, [state]) => causalConv1d(x, w, bias, activation, [{ start: t, length: 1, reset: false, state: state! }], y),
    (t, [before], _, [gradient]) => {
      for (let c = 0; c < channels; c++) {
        const now = x.data[x.offset + t * x.stride + c]!;
        let sum = bias === null ? 0 : bias[c]!;
        for (let k = 0; k < past; k++) sum += w[c * taps + k]! * before![c * past + k]!;
        sum += w[c * taps + past]! * now;
        const slope = dy.data[dy.offset + t * dy.stride + c]! * (activation === 'silu' ? siluSlope(sum) : 1);
        for (let k = 0; k < past; k++) sums.w[c * taps + k]! += slope * before![c * past + k]!;
        sums.w[c * taps + past]! += slope * now;
        sums.bias[c]! += slope;
        // The state after holds x last; what stood at k stands at k - 1.
        const kept = past > 0 ? gradient![c * past + past - 1]! : 0;
        accumulate(dx, t, c, slope * w[c * taps + past]! + kept);
        for (let k = past - 1; k >= 0; k--) {
          gradient![c * past + k] = slope * w[c * taps + k]! + (k > 0 ? gradient![c * past + k - 1]! : 0);
        }
      }
    },
  );
  addInto(dw, sums.w);
  addInto(dbias, sums.bias);
}
