import type { ByteSource } from '@mamba-ts/loaders';
import { MambaError, philoxRandom, type Slot } from '@mamba-ts/tensor';
import type { Batch } from './batch.ts';

/** A long row of token ids, read by ranges. */
export interface TokenSource {
  /** Tokens. */
  readonly length: number;
  /** Tokens `start` to `end - 1`. Throws what reading throws, and the signal's reason. */
  read(start: number, end: number, signal?: AbortSignal): Promise<Int32Array>;
}

/** Token ids in memory. */
export function memoryTokens(ids: Int32Array): TokenSource {
  return { length: ids.length, read: async (start, end) => ids.subarray(start, end) };
}

/**
 * A file of nothing but token ids, little-endian, `width` bytes each (2 or 4), as numpy's `tofile` writes it; never in memory
 * as a whole. Throws `TOKEN_FILE` where its size is no multiple of the width.
 */
export function fileTokens(file: ByteSource, width: 2 | 4): TokenSource {
  if (file.size % width !== 0) {
    throw new MambaError('TOKEN_FILE', `${file.name} has ${file.size} bytes, which is no multiple of ${width}`, {
      file: file.name,
    });
  }
  return {
    length: file.size / width,
    async read(start, end, signal) {
      const bytes = await file.read(start * width, (end - start) * width, { signal });
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Int32Array.from({ length: end - start }, (_, i) =>
        width === 2 ? view.getUint16(2 * i, true) : view.getInt32(4 * i, true),
      );
    },
  };
}

/** A part of a source as a source. */
export function tokenRange(source: TokenSource, start: number, end: number): TokenSource {
  return { length: end - start, read: (from, to, signal) => source.read(start + from, start + to, signal) };
}

/** Makes batch number `pass` of a run, a function of that number alone; `slots` has one for each sequence. */
export type BatchSource = (pass: number, slots: readonly Slot[], signal?: AbortSignal) => Batch | Promise<Batch>;

/** Cuts the last `share` of a text off, for validation; never inside a character of two UTF-16 units. */
export function splitText(text: string, share: number): [training: string, validation: string] {
  let border = Math.floor((1 - share) * text.length);
  if (/[\uDC00-\uDFFF]/.test(text[border] ?? '')) border++;
  return [text.slice(0, border), text.slice(border)];
}

/** What one batch is made of. */
export interface BatchShape {
  /** Pieces of text in one pass. */
  readonly sequences: number;
  /** Tokens of each. */
  readonly length: number;
  /**
   * The id that begins a document; null where the text is one. The state is reset before it, and it predicts the document's
   * first token: so a prompt may begin with it.
   */
  readonly separator: number | null;
}

/** A number that no other pass of a run draws with: passes of 2^20 sequences do not overlap. */
const DRAWS = 2 ** 20;

/**
 * Batch number `pass` of a run: pieces from anywhere in the source, each from a state of zeros, drawn by `seed` and `pass`
 * alone. `slots` has one for each piece. Throws `TRAIN_DATA` where the source is shorter than a piece, and what reading
 * throws.
 */
export async function drawBatch(
  source: TokenSource,
  { sequences, length, separator }: BatchShape,
  seed: number,
  pass: number,
  slots: readonly Slot[],
  signal?: AbortSignal,
): Promise<Batch> {
  const starts = source.length - length;
  if (starts < 1) {
    throw new MambaError(
      'TRAIN_DATA',
      `the training text has ${source.length} tokens, but a piece of ${length} needs ${length + 1}: shorten the pieces ` +
        'or give more text',
      { tokens: source.length, length },
    );
  }
  const random = philoxRandom(seed);
  const ids = new Int32Array(sequences * length);
  const targets = new Int32Array(sequences * length);
  const segments: Batch['segments'][number][] = [];
  for (let i = 0; i < sequences; i++) {
    const start = Math.floor(random(pass * DRAWS + i) * starts);
    const piece = await source.read(start, start + length + 1, signal);
    ids.set(piece.subarray(0, length), i * length);
    targets.set(piece.subarray(1), i * length);
    segments.push(...documents(piece.subarray(0, length), i * length, separator, slots[i]!));
  }
  return { ids, targets, segments };
}

/** One segment per document of a piece that begins at row `row`: each from a state of zeros. */
export function documents(
  ids: Int32Array,
  row: number,
  separator: number | null,
  slot: Slot,
): Batch['segments'][number][] {
  const segments: Batch['segments'][number][] = [];
  let start = 0;
  for (let i = 1; i <= ids.length; i++) {
    if (i < ids.length && ids[i] !== separator) continue;
    segments.push({ start: row + start, length: i - start, slot, reset: true, position: 0 });
    start = i;
  }
  return segments;
}
