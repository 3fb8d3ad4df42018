import { MambaError } from './errors.ts';

/**
 * A matrix of f32 activations, token-major: `[tokens, channels]`. It is scratch: it lives until the backend's
 * `endStep()`. The last axis is contiguous; `rowStride` lets a view share its parent's storage.
 */
export interface Tensor {
  /** `[rows, columns]`. */
  readonly shape: readonly [rows: number, columns: number];
  /** Elements from the start of one row to the start of the next; at least `columns`. */
  readonly rowStride: number;
  /** Elements from the start of `storage` to the first element. */
  readonly offset: number;
  /** The backend's own: typed array, pointer, GPU buffer. */
  readonly storage: unknown;
}

/** The columns `[start, start + width)` of `x` as a view: no copy. */
export function columns(x: Tensor, start: number, width: number): Tensor {
  if (start < 0 || width < 0 || start + width > x.shape[1]) {
    throw new MambaError('SHAPE', `columns ${start} to ${start + width} of a tensor with ${x.shape[1]} columns`);
  }
  return {
    shape: [x.shape[0], width],
    rowStride: x.rowStride,
    offset: x.offset + start,
    storage: x.storage,
  };
}

/** Splits the last axis into views of the given widths, which must fill it. `[T, sum(widths)]` -> `[T, width]` each. */
export function split<const W extends readonly number[]>(x: Tensor, widths: W): { [I in keyof W]: Tensor } {
  let start = 0;
  const parts = widths.map((width) => {
    const part = columns(x, start, width);
    start += width;
    return part;
  });
  if (start !== x.shape[1]) {
    throw new MambaError('SHAPE', `split into ${widths.join(' + ')} = ${start} columns, but there are ${x.shape[1]}`);
  }
  return parts as { [I in keyof W]: Tensor };
}
