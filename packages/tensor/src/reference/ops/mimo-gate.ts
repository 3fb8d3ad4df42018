import { accumulate, addInto, type FloatArray, type Matrix } from '../matrix.ts';
import { silu, siluSlope } from './scalar.ts';

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

/** Gradients of `mimoGate` to y, gate, wGate and wOut; dout `[T, H P]`. */
export function mimoGateBackward(
  y: Matrix,
  gate: Matrix,
  wGate: FloatArray,
  wOut: FloatArray,
  width: number,
  dout: Matrix,
  dy: Matrix | null,
  dgate: Matrix | null,
  dwGate: FloatArray | null,
  dwOut: FloatArray | null,
): void {
  const channels = gate.columns;
  const rank = channels === 0 ? 0 : y.columns / channels;
  const sums = { gate: new Float64Array(wGate.length), out: new Float64Array(wOut.length) };
  for (let t = 0; t < y.rows; t++) {
    for (let c = 0; c < channels; c++) {
      const z = gate.data[gate.offset + t * gate.stride + c]!;
      const slope = dout.data[dout.offset + t * dout.stride + c]!;
      let dz = 0;
      for (let r = 0; r < rank; r++) {
        const w = (Math.floor(c / width) * rank + r) * width + (c % width); // [H, R, P]
        const input = y.data[y.offset + t * y.stride + r * channels + c]!;
        const open = silu(z * wGate[w]!);
        accumulate(dy, t, r * channels + c, slope * open * wOut[w]!);
        sums.out[w]! += slope * input * open;
        const turn = slope * input * wOut[w]! * siluSlope(z * wGate[w]!);
        sums.gate[w]! += turn * z;
        dz += turn * wGate[w]!;
      }
      accumulate(dgate, t, c, dz);
    }
  }
  addInto(dwGate, sums.gate);
  addInto(dwOut, sums.out);
}
