import type { BackwardSegment } from './backward.ts';
import { checkLogits, checkTensor } from './check.ts';
import { MambaError } from './errors.ts';
import type { Tensor } from './tensor.ts';
import type { Weight } from './weights.ts';

// What the backward ops ask beyond what their op asks: the same codes, the same shapes.

/** `dy` and each gradient that is wanted have the shape of what they belong to. Throws `SHAPE`. */
export function checkGradients(
  op: string,
  dy: Tensor,
  [rows, columns]: readonly [number, number],
  wanted: Readonly<Record<string, readonly [gradient: Tensor | null, of: Tensor]>>,
): void {
  checkTensor(op, 'dy', dy, rows, columns);
  for (const [name, [gradient, of]] of Object.entries(wanted)) {
    if (gradient !== null) checkTensor(op, `the gradient of ${name}`, gradient, of.shape[0], of.shape[1]);
  }
}

/** The gradient slots have the layout of the slots. Throws `SHAPE`. */
export function checkGradientSlots(op: string, segments: readonly BackwardSegment[]): void {
  for (const [i, { slot, gradient }] of segments.entries()) {
    if (gradient.length !== slot.length || gradient.caches.length !== slot.caches.length) {
      throw new MambaError(
        'SHAPE',
        `${op}: the gradient slot of segment ${i} has ${gradient.length} elements and ${gradient.caches.length} caches, its ` +
          `slot ${slot.length} and ${slot.caches.length}. Create it with the length and caches of the slot`,
        { op, segment: i, expected: slot.length, found: gradient.length },
      );
    }
  }
}

/** Arguments of `crossEntropy`: those of `logits`, and a target of the vocabulary per row, else `TOKEN_ID`. */
export function checkCrossEntropy(
  x: Tensor,
  w: Weight,
  rows: Int32Array,
  targets: Int32Array,
  vocabSize: number,
): void {
  checkLogits(x, w, rows, vocabSize);
  if (rows.length !== targets.length) {
    throw new MambaError('SHAPE', `crossEntropy: ${targets.length} targets for ${rows.length} rows. Pass one per row`, {
      rows: rows.length,
      targets: targets.length,
    });
  }
  for (const [i, id] of targets.entries()) {
    if (id < 0 || id >= vocabSize) {
      throw new MambaError(
        'TOKEN_ID',
        `crossEntropy: target ${i} is id ${id}, expected 0 to ${vocabSize - 1}. Leave rows without a target out of rows`,
        { position: i, id, vocabulary: vocabSize },
      );
    }
  }
}

/** Arguments of `dropout`: x, and 0 <= rate < 1. Throws `SHAPE` or `ARGUMENT`. */
export function checkDropout(x: Tensor, rate: number): void {
  checkTensor('dropout', 'x', x);
  if (!(rate >= 0 && rate < 1)) {
    throw new MambaError('ARGUMENT', `dropout: the rate is ${rate}, expected 0 or more and less than 1`, { rate });
  }
}

/** Values for a weight: as many as it holds. Throws `SHAPE`. */
export function checkWeightValues(call: string, w: Weight, found: number): void {
  const expected = w.shape.reduce((product, axis) => product * axis, 1);
  if (found !== expected) {
    throw new MambaError(
      'SHAPE',
      `${call}: ${found} values for ${w.name} [${w.shape.join(', ')}], expected ${expected}`,
      {
        weight: w.name,
        expected,
        found,
      },
    );
  }
}
