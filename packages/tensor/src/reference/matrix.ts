/** Values of the reference backend: f32, or f64 throughout. Arithmetic is f64; storing rounds. */
export type FloatArray = Float32Array | Float64Array;

/** A `[rows, columns]` view into row-major values. */
export interface Matrix {
  readonly data: FloatArray;
  /** Elements before the first one. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
  readonly rows: number;
  readonly columns: number;
}

/** One segment with the piece of its slot that the op works on. */
export interface Run {
  /** First row. */
  readonly start: number;
  /** Rows. */
  readonly length: number;
  /** Zero the state before the first row. */
  readonly reset: boolean;
  /** The op's state field of this sequence: read before the first row, left as it is after the last. */
  readonly state: FloatArray;
}

/** One segment of a pass whose gradient is wanted, with what its op remembers. */
export interface BackwardRun {
  /** First row. */
  readonly start: number;
  /** Rows. */
  readonly length: number;
  /** The state was zeroed before the first row. */
  readonly reset: boolean;
  /** Runs of one sequence have the same. */
  readonly sequence: unknown;
  /** The op's fields as they were before the pass; they are not changed. */
  readonly states: readonly FloatArray[];
  /** The gradient to each field: on entry to what the pass left, afterwards to what it found. */
  readonly gradients: readonly FloatArray[];
}

/** `x[t, c] += value`, where the gradient is wanted. */
export function accumulate(x: Matrix | null, t: number, c: number, value: number): void {
  if (x !== null) x.data[x.offset + t * x.stride + c]! += value;
}

/** `into += values`, where the gradient is wanted. */
export function addInto(into: FloatArray | null, values: Float64Array): void {
  if (into === null) return;
  for (const [i, value] of values.entries()) into[i]! += value;
}
