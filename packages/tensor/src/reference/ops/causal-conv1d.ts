import type { FloatArray, Matrix, Run } from '../matrix.ts';
import { silu } from './scalar.ts';

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
