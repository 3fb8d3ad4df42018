import { MambaError } from '@mamba-ts/tensor';
import { type ByteSource, prepareRead, type ReadOptions } from '../byte-source.ts';
import type { Medium } from './medium.ts';

/** Bytes of a piece: what one that dies may cost, and what is held in memory per connection. */
export const PIECE_BYTES: number = 4 << 20;

/** From `start` up to but without `end`. Bytes. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Consecutive bytes that have not been put away yet. */
interface Run {
  readonly start: number;
  end: number;
  parts: Uint8Array[];
}

/**
 * A file that comes in any order, in pieces under their offsets. What the pieces hold is what has come: there is no list
 * of ranges that could say something else. Reading goes through `Blob.slice`, so no more than is asked for is in memory.
 */
export class PieceFile implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #medium: Medium;
  readonly #folder: readonly string[];
  /** Sorted by their offset. */
  #pieces: ByteRange[] = [];
  #runs: Run[] = [];

  private constructor(medium: Medium, folder: readonly string[], name: string, size: number) {
    this.name = name;
    this.size = size;
    this.#medium = medium;
    this.#folder = folder;
  }

  /** With the pieces that are there already; what cannot belong to a file of this size does not count. */
  static async open(medium: Medium, folder: readonly string[], name: string, size: number): Promise<PieceFile> {
    const file = new PieceFile(medium, folder, name, size);
    for (const [offset, bytes] of await medium.list(folder)) {
      const start = Number(offset);
      // An empty piece is one that a tab is writing, or died while writing; it is written over.
      const fits = bytes !== null && bytes > 0 && String(start) === offset && start >= 0 && start + bytes <= size;
      if (fits) file.#add({ start, end: start + bytes });
    }
    return file;
  }

  /** What has been put away: sorted, none touching another. */
  get ranges(): readonly ByteRange[] {
    const merged: { start: number; end: number }[] = [];
    for (const { start, end } of this.#pieces) {
      const last = merged.at(-1);
      if (last && start <= last.end) last.end = Math.max(last.end, end);
      else merged.push({ start, end });
    }
    return merged;
  }

  /** Bytes that have been put away. */
  get present(): number {
    return this.ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  }

  /** Whether every byte has come. */
  get complete(): boolean {
    return this.present === this.size;
  }

  /** Takes bytes at a place. They are copied, and put away once a piece is full; `flush` puts away the rest. */
  async write(start: number, bytes: Uint8Array): Promise<void> {
    const end = start + bytes.byteLength;
    if (!(Number.isSafeInteger(start) && start >= 0 && end <= this.size)) {
      throw new MambaError('FILE_RANGE', `${this.name}: bytes ${start} to ${end} lie outside its ${this.size}`, {
        file: this.name,
        start,
        end,
        size: this.size,
      });
    }
    if (bytes.byteLength === 0) return;
    let run = this.#runs.find((each) => each.end === start);
    if (!run) {
      run = { start, end: start, parts: [] };
      this.#runs.push(run);
    }
    run.parts.push(bytes.slice());
    run.end = end;
    if (run.end - run.start >= PIECE_BYTES) await this.#putAway(run);
  }

  /** Puts away what is not a full piece yet: at the end, and before one stops. */
  async flush(): Promise<void> {
    for (const run of [...this.#runs]) await this.#putAway(run);
  }

  /** Drops everything: another file has taken its place. */
  async clear(): Promise<void> {
    this.#runs = [];
    this.#pieces = [];
    await this.#medium.remove(this.#folder);
  }

  /** Throws `FILE_READ` where a piece is missing: the browser or the visitor has cleared the page's data. */
  async read(offset: number, length: number, options?: ReadOptions): Promise<Uint8Array> {
    const out = prepareRead(this, offset, length, options);
    for (let done = 0; done < length; ) {
      const at = offset + done;
      const piece = this.#pieces.findLast(({ start, end }) => start <= at && at < end);
      const blob = piece && (await this.#medium.get([...this.#folder, String(piece.start)]));
      if (!piece || !blob || blob.size !== piece.end - piece.start) throw this.#gone(at);
      const step = Math.min(piece.end - at, length - done);
      const bytes = await blob
        .slice(at - piece.start, at - piece.start + step)
        .arrayBuffer()
        .catch((cause: unknown) => {
          throw this.#gone(at, cause);
        });
      options?.signal?.throwIfAborted();
      out.set(new Uint8Array(bytes), done);
      done += step;
    }
    return out;
  }

  #gone(offset: number, cause?: unknown): MambaError {
    return new MambaError(
      'FILE_READ',
      `${this.name}: the browser no longer has its bytes from ${offset} on; the page's data was cleared. Open it again ` +
        'to download what is missing.',
      { file: this.name, offset },
      { cause },
    );
  }

  async #putAway(run: Run): Promise<void> {
    this.#runs = this.#runs.filter((each) => each !== run);
    const bytes = new Uint8Array(run.end - run.start);
    let at = 0;
    for (const part of run.parts) {
      bytes.set(part, at);
      at += part.byteLength;
    }
    await this.#medium.put([...this.#folder, String(run.start)], bytes);
    this.#add({ start: run.start, end: run.end });
  }

  #add(piece: ByteRange): void {
    this.#pieces = [...this.#pieces.filter(({ start }) => start !== piece.start), piece].sort(
      (a, b) => a.start - b.start,
    );
  }
}
