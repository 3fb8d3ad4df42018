import type { CacheField, Segment, Slot } from './backend.ts';
import { checkRows, checkTensor } from './check.ts';
import { MambaError } from './errors.ts';
import type { Tensor } from './tensor.ts';

// What slots and the ops of attention ask of their arguments.

const isCount = (n: number): boolean => Number.isSafeInteger(n) && n >= 0;

/** f32 elements of one row of these caches: keys and values of each. */
export function rowLength(caches: readonly CacheField[]): number {
  return caches.reduce((sum, { heads, width }) => sum + 2 * heads * width, 0);
}

/** A slot's parts: a whole number of elements, and caches that lie in a row one after another. Throws `SHAPE`. */
export function checkSlot(length: number, caches: readonly CacheField[]): void {
  if (!isCount(length)) {
    throw new MambaError(
      'SHAPE',
      `createSlot: length is ${length}, expected a whole number. Take it from the model's state layout`,
      { length },
    );
  }
  let next = 0;
  for (const { name, heads, width, offset } of caches) {
    if (!isCount(heads) || !isCount(width) || heads === 0 || width === 0 || offset !== next) {
      throw new MambaError(
        'SHAPE',
        `createSlot: cache ${name} has ${heads} heads of ${width} at offset ${offset}, expected at least one of each at ` +
          `offset ${next}. Take the caches from the model's state layout`,
        { name, heads, width, offset, expected: next },
      );
    }
    next += 2 * heads * width;
  }
}

/** A number of rows to reserve. Throws `SHAPE`. */
export function checkRowCount(call: string, rows: number): void {
  if (!isCount(rows)) {
    throw new MambaError('SHAPE', `${call}: ${rows} rows, expected a whole number`, { call, rows });
  }
}

/** The slot has memory for so many rows. Throws `SHAPE`. */
export function checkSlotRows(call: string, slot: Slot, rows: number): void {
  checkRowCount(call, rows);
  if (rows > slot.rows) {
    throw new MambaError(
      'SHAPE',
      `${call}: row ${rows - 1} of a slot that has memory for ${slot.rows} rows. Call reserveRows first`,
      { call, rows, reserved: slot.rows },
    );
  }
}

/** Values for a slot, its block and whole rows; gives the number of these. Throws `SHAPE`. */
export function checkSlotValues(call: string, slot: Slot, found: number): number {
  const width = rowLength(slot.caches);
  const rows = found === slot.length ? 0 : (found - slot.length) / width;
  if (!isCount(rows)) {
    throw new MambaError(
      'SHAPE',
      `${call}: the slot has ${slot.length} elements${width > 0 ? ` and rows of ${width}` : ''}, but ${found} were given. ` +
        'Both must belong to the same model',
      { call, expected: slot.length, row: width, found },
    );
  }
  return rows;
}

/** Two slots of one layout, the first with memory for so many rows. Throws `SHAPE`. */
export function checkSlotPair(call: string, from: Slot, to: Slot, rows: number): void {
  const same =
    from.length === to.length &&
    from.caches.length === to.caches.length &&
    from.caches.every(({ heads, width }, i) => heads === to.caches[i]!.heads && width === to.caches[i]!.width);
  if (!same) {
    throw new MambaError(
      'SHAPE',
      `${call}: a slot of ${from.length} elements and ${from.caches.length} caches, and one of ${to.length} and ` +
        `${to.caches.length}. Both must belong to the same model`,
      { call, from: from.length, to: to.length },
    );
  }
  checkSlotRows(call, from, rows);
}

const rowsOf = (segments: readonly Segment[]): number => segments.reduce((sum, { length }) => sum + length, 0);

/** x has a whole number of rows for each of `tokens` tokens. Throws `SHAPE`. */
function checkPerToken(op: string, name: string, x: Tensor, tokens: number): void {
  if (tokens === 0 ? x.shape[0] !== 0 : x.shape[0] % tokens !== 0) {
    throw new MambaError(
      'SHAPE',
      `${op}: ${name} has ${x.shape[0]} rows for the ${tokens} tokens of the segments, expected one per token and head. ` +
        'Reshape [tokens, heads * width] to [tokens * heads, width]',
      { op, argument: name, rows: x.shape[0], tokens },
    );
  }
}

/** Arguments of `rope`: x `[T H, D]`, frequencies `[F]` with 2 F <= D, a rotation that we know. */
export function checkRope(
  x: Tensor,
  frequencies: Float64Array,
  rotation: 'halves' | 'pairs',
  segments: readonly Segment[],
): void {
  const op = 'rope';
  checkTensor(op, 'x', x);
  const tokens = rowsOf(segments);
  checkRows(op, tokens, segments);
  checkPerToken(op, 'x', x, tokens);
  if (2 * frequencies.length > x.shape[1]) {
    throw new MambaError(
      'SHAPE',
      `${op}: ${frequencies.length} frequencies turn ${2 * frequencies.length} columns, but a head has ${x.shape[1]}. ` +
        'Check the rotary size in the config',
      { op, frequencies: frequencies.length, width: x.shape[1] },
    );
  }
  if (rotation !== 'halves' && rotation !== 'pairs') {
    throw new MambaError('ARGUMENT', `${op}: rotation is ${String(rotation)}, expected "halves" or "pairs"`, { op });
  }
}

/**
 * Arguments of `attention`: q `[T H, D]`, k and v `[T G, D]` with G, D of the cache and H a multiple of G, a positive
 * scale, and slots that have the cache and rows reserved.
 */
export function checkAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  scale: number,
  cache: CacheField,
  segments: readonly Segment[],
): void {
  const op = 'attention';
  const tokens = rowsOf(segments);
  checkRows(op, tokens, segments);
  const { heads, width } = cache;
  checkTensor(op, 'q', q, undefined, width);
  checkPerToken(op, 'q', q, tokens * heads);
  checkTensor(op, 'k', k, tokens * heads, width);
  checkTensor(op, 'v', v, tokens * heads, width);
  if (!(scale > 0 && scale < Number.POSITIVE_INFINITY)) {
    throw new MambaError('ARGUMENT', `${op}: scale is ${scale}, expected a positive number`, { op, scale });
  }
  for (const { slot, length, position } of segments) {
    const found = slot.caches.find(({ offset }) => offset === cache.offset);
    if (found === undefined || found.heads !== heads || found.width !== width) {
      throw new MambaError(
        'SHAPE',
        `${op}: the slot has no cache of ${heads} heads of ${width} at offset ${cache.offset} (${cache.name}). Make slots ` +
          "with the caches of the model's state layout",
        { op, cache: cache.name, heads, width, offset: cache.offset },
      );
    }
    checkSlotRows(op, slot, (position ?? 0) + length);
  }
}
