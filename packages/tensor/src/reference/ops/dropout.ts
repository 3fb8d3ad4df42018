import type { DropoutMask } from '../../backward.ts';
import { philox4x32 } from '../../philox.ts';
import { accumulate, type FloatArray, type Matrix } from '../matrix.ts';

/** Calls `visit` with each element and what it is multiplied by: 0, or 1 / (1 - rate) where it is kept. */
function eachFactor(
  rows: number,
  columns: number,
  rate: number,
  { seed, step, site }: DropoutMask,
  visit: (t: number, c: number, factor: number) => void,
): void {
  const halves = (value: number): [number, number] => [value >>> 0, Math.floor(value / 2 ** 32)];
  const words = new Uint32Array(4);
  for (let e = 0; e < rows * columns; e++) {
    if (e % 4 === 0) philox4x32([e / 4, site, ...halves(step)], halves(seed), words);
    const factor = words[e % 4]! >= rate * 2 ** 32 ? 1 / (1 - rate) : 0;
    visit(Math.floor(e / columns), e % columns, factor);
  }
}

/**
 * `y[t, c] = x[t, c] / (1 - rate)`, or 0 with the probability `rate`: where word e % 4 of Philox' block e / 4, e = t C + c, is
 * below `rate 2^32`. x `[T, C]` -> y `[T, C]`. Source: Srivastava et al. 2014; torch.nn.functional.dropout.
 */
export function dropout(x: Matrix, rate: number, mask: DropoutMask, y: FloatArray): void {
  eachFactor(x.rows, x.columns, rate, mask, (t, c, factor) => {
    y[t * x.columns + c] = factor === 0 ? 0 : x.data[x.offset + t * x.stride + c]! * factor;
  });
}

/** `dx += dy` through the same mask. */
export function dropoutBackward(rate: number, mask: DropoutMask, dy: Matrix, dx: Matrix | null): void {
  eachFactor(dy.rows, dy.columns, rate, mask, (t, c, factor) => {
    if (factor !== 0) accumulate(dx, t, c, dy.data[dy.offset + t * dy.stride + c]! * factor);
  });
}
