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

/**
 * The same values as `[rows, columns]`: no copy. x must be contiguous, as every op's output is; so `[T, H D]` becomes a
 * row per token and head, `[T H, D]`, and back.
 */
export function reshape(x: Tensor, rows: number, columns: number): Tensor {
  if (rows * columns !== x.shape[0] * x.shape[1] || (x.rowStride !== x.shape[1] && x.shape[0] > 1)) {
    throw new MambaError(
      'SHAPE',
      `reshape of [${x.shape.join(', ')}] with row stride ${x.rowStride} to [${rows}, ${columns}]: expected a contiguous ` +
        'tensor of as many values. Reshape before you split',
    );
  }
  return { shape: [rows, columns], rowStride: columns, offset: x.offset, storage: x.storage };
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
