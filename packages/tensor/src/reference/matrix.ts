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
