import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';
import { silu, siluSlope } from './scalar.ts';

/** `y = x silu(gate)`: x, gate `[T, C]` -> y `[T, C]`. Source: Shazeer 2020, equation 6. */
export function siluGate(x: Matrix, gate: Matrix, y: FloatArray): void {
  for (let t = 0; t < x.rows; t++) {
    for (let c = 0; c < x.columns; c++) {
      y[t * x.columns + c] = x.data[x.offset + t * x.stride + c]! * silu(gate.data[gate.offset + t * gate.stride + c]!);
    }
  }
}

/** `dx += dy silu(gate)`, `dgate += dy x silu'(gate)`. */
export function siluGateBackward(x: Matrix, gate: Matrix, dy: Matrix, dx: Matrix | null, dgate: Matrix | null): void {
  for (let t = 0; t < x.rows; t++) {
    for (let c = 0; c < x.columns; c++) {
      const slope = dy.data[dy.offset + t * dy.stride + c]!;
      const value = gate.data[gate.offset + t * gate.stride + c]!;
      accumulate(dx, t, c, slope * silu(value));
      accumulate(dgate, t, c, slope * x.data[x.offset + t * x.stride + c]! * siluSlope(value));
    }
  }
}
