import { constants } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { prepareRead, READ_STEP, type ReadOptions } from '../byte-source.ts';
import type { PartFile, PartRange } from '../hub/transfer.ts';
import { fileError, syncFolder, systemCode } from './system.ts';

/** A process that is killed loses at most so many bytes of each connection. */
const SLOT = 1 << 20;
/** Begins the record behind the bytes. The next version of its layout has another. */
const MAGIC = new TextEncoder().encode('mamba-1\n');

/**
 * A file on disk while it comes: `size` bytes, of which any may be missing, and behind them a record of what is there, one
 * byte for each MiB. One file, so that bytes and record cannot be of different downloads; a file without a record is a
 * whole one that was not yet renamed.
 */
export class DiskPart implements PartFile {
  readonly name: string;
  readonly size: number;
  readonly #path: string;
  readonly #handle: FileHandle;
  /** Of each slot, whether it is there for good. */
  readonly #there: Uint8Array;
  /** What was written of slots that are not full yet: sorted, none touching another. */
  #written: PartRange[] = [];

  private constructor(path: string, size: number, handle: FileHandle, there: Uint8Array) {
    this.name = basename(path);
    this.size = size;
    this.#path = path;
    this.#handle = handle;
    this.#there = there;
  }

  /** Opens it with what has come before, or begins it. Whoever opens it holds its lock. Throws `FILE_WRITE`. */
  static async open(path: string, size: number): Promise<DiskPart> {
    let handle: FileHandle | null = null;
    try {
      handle = await open(path, constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0), 0o666);
      const there = new Uint8Array(Math.ceil(size / SLOT));
      const record = new Uint8Array(MAGIC.byteLength + there.byteLength);
      const held = (await handle.stat()).size;
      if (held === size && size > 0) there.fill(1);
      else if (held === size + record.byteLength) await handle.read(record, 0, record.byteLength, size);
      const known = MAGIC.every((byte, i) => record[i] === byte);
      if (known) there.set(record.subarray(MAGIC.byteLength));
      const part = new DiskPart(path, size, handle, there);
      if (!known) {
        // Emptied first: whatever it was, no old byte may pass for a record.
        if (there[0] !== 1) await handle.truncate(0);
        await part.#writeRecord();
      }
      return part;
    } catch (error) {
      await handle?.close();
      throw systemCode(error) ? fileError(path, 'written', error) : error;
    }
  }

  get ranges(): readonly PartRange[] {
    const ranges: PartRange[] = [];
    this.#there.forEach((there, slot) => {
      if (there === 1) addRange(ranges, { start: slot * SLOT, end: Math.min(this.size, (slot + 1) * SLOT) });
    });
    return ranges;
  }

  async write(start: number, bytes: Uint8Array): Promise<void> {
    const end = start + bytes.byteLength;
    await this.#system(async () => {
      for (let done = 0; done < bytes.byteLength; ) {
        done += (await this.#handle.write(bytes, done, bytes.byteLength - done, start + done)).bytesWritten;
      }
      addRange(this.#written, { start, end });
      for (let slot = Math.floor(start / SLOT); slot * SLOT < end; slot++) {
        const [from, to] = [slot * SLOT, Math.min(this.size, (slot + 1) * SLOT)];
        if (!this.#written.some((range) => range.start <= from && range.end >= to)) continue;
        this.#there[slot] = 1;
        // Not synced before: what a power cut takes is found by the hash at the end, and fetched again.
        await this.#handle.write(Uint8Array.of(1), 0, 1, this.size + MAGIC.byteLength + slot);
      }
    });
  }

  flush(): Promise<void> {
    return this.#system(() => this.#handle.datasync());
  }

  async read(offset: number, length: number, options?: ReadOptions): Promise<Uint8Array> {
    const out = prepareRead(this, offset, length, options);
    for (let done = 0; done < length; ) {
      options?.signal?.throwIfAborted();
      const { bytesRead } = await this.#handle.read(out, done, Math.min(READ_STEP, length - done), offset + done);
      if (bytesRead === 0) throw fileError(this.#path, 'read', 'it ends early');
      done += bytesRead;
    }
    return out;
  }

  /** Takes the record off, makes the bytes last and moves the file to its place. */
  async finish(path: string): Promise<void> {
    await this.#system(async () => {
      await this.#handle.truncate(this.size);
      await this.#handle.sync();
      await this.#handle.close();
      await rename(this.#path, path);
      await syncFolder(dirname(path));
    });
  }

  /** Forgets everything that came. */
  async clear(): Promise<void> {
    this.#there.fill(0);
    this.#written = [];
    await this.#system(async () => {
      await this.#handle.truncate(0);
      await this.#writeRecord();
    });
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #writeRecord(): Promise<void> {
    const record = new Uint8Array(MAGIC.byteLength + this.#there.byteLength);
    record.set(MAGIC);
    record.set(this.#there, MAGIC.byteLength);
    await this.#handle.write(record, 0, record.byteLength, this.size);
  }

  async #system<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw systemCode(error) ? fileError(this.#path, 'written', error) : error;
    }
  }
}

/** Adds a range to sorted ranges, merging those that it touches. */
function addRange(ranges: PartRange[], { start, end }: PartRange): void {
  const first = ranges.findIndex((range) => range.end >= start);
  if (first < 0) {
    ranges.push({ start, end });
    return;
  }
  let after = first;
  while (after < ranges.length && ranges[after]!.start <= end) after++;
  const touched = ranges.slice(first, after);
  const merged = {
    start: Math.min(start, ...touched.map((range) => range.start)),
    end: Math.max(end, ...touched.map((range) => range.end)),
  };
  ranges.splice(first, touched.length, merged);
}
