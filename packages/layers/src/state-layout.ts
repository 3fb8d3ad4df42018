import type { StateField } from '@mamba-ts/tensor';

/** Where every layer's state lies in a slot. */
export interface StateLayout {
  readonly fields: readonly StateField[];
  /** f32 elements of a whole slot. */
  readonly length: number;
}

/** Lays fields out one after another; each starts at a multiple of 4 elements (16 bytes: one SIMD vector). */
export class StateLayoutBuilder implements StateLayout {
  readonly fields: StateField[] = [];
  length = 0;

  add(name: string, shape: readonly number[]): StateField {
    const field: StateField = { name, shape, offset: this.length };
    this.fields.push(field);
    const size = shape.reduce((product, axis) => product * axis, 1);
    this.length += Math.ceil(size / 4) * 4;
    return field;
  }
}
