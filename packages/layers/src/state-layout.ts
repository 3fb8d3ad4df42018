import type { CacheField, StateField } from '@mamba-ts/tensor';

/** Where every layer's state lies in a slot. */
export interface StateLayout {
  /** In slot order. */
  readonly fields: readonly StateField[];
  /** f32 elements of a slot's block. */
  readonly length: number;
  /** What grows by a row per token; empty for a model without attention. */
  readonly caches: readonly CacheField[];
  /** f32 elements of a row. */
  readonly rowLength: number;
}

/** Lays fields out one after another; each starts at a multiple of 4 elements (16 bytes: one SIMD vector). */
export class StateLayoutBuilder implements StateLayout {
  readonly fields: StateField[] = [];
  length = 0;
  readonly caches: CacheField[] = [];
  rowLength = 0;

  /** A recurrent field, f32, row-major; it starts at a multiple of four elements. */
  add(name: string, shape: readonly number[]): StateField {
    const field: StateField = { name, shape, offset: this.length };
    this.fields.push(field);
    const size = shape.reduce((product, axis) => product * axis, 1);
    this.length += Math.ceil(size / 4) * 4;
    return field;
  }

  /** An attention layer's keys and values, `[heads, width]` each, in every row. */
  addCache(name: string, heads: number, width: number): CacheField {
    const cache: CacheField = { name, heads, width, offset: this.rowLength };
    this.caches.push(cache);
    this.rowLength += 2 * heads * width;
    return cache;
  }
}
