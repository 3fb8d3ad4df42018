import type { FloatArray, Matrix } from '../matrix.ts';
import { silu } from './scalar.ts';

/** `y = x silu(gate)`: x, gate `[T, C]` -> y `[T, C]`. Source: Shazeer 2020, equation 6. */
export function siluGate(x: Matrix, gate: Matrix, y: FloatArray): void {
  for (let t = 0; t < x.rows; t++) {
    for (let c = 0; c < x.columns; c++) {
      y[t * x.columns + c] = x.data[x.offset + t * x.stride + c]! * silu(gate.data[gate.offset + t * gate.stride + c]!);
    }
  }
}
