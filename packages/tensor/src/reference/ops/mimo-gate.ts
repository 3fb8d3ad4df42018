import type { FloatArray, Matrix } from '../matrix.ts';
import { silu } from './scalar.ts';

/**
 * `out[t, h, p] = sum_r y[t, r, h, p] silu(gate[t, h, p] wGate[h, r, p]) wOut[h, r, p]`
 *
 * y `[T, R H P]`, gate `[T, H P]`, wGate and wOut `[H, R, P]` -> out `[T, H P]`. Source: state-spaces/mamba
 * modules/mamba3.py Mamba3._postprocess.
 */
export function mimoGate(
  y: Matrix,
  gate: Matrix,
  wGate: FloatArray,
  wOut: FloatArray,
  width: number,
  out: FloatArray,
): void {
  const channels = gate.columns;
  const rank = channels === 0 ? 0 : y.columns / channels;
  for (let t = 0; t < y.rows; t++) {
    for (let c = 0; c < channels; c++) {
      const z = gate.data[gate.offset + t * gate.stride + c]!;
      let sum = 0;
      for (let r = 0; r < rank; r++) {
        const w = (Math.floor(c / width) * rank + r) * width + (c % width); // [H, R, P]
        sum += y.data[y.offset + t * y.stride + r * channels + c]! * silu(z * wGate[w]!) * wOut[w]!;
      }
      out[t * channels + c] = sum;
    }
  }
}
