import { MambaError } from '@mamba-ts/tensor';

/** How to read a range of bytes. */
export interface ReadOptions {
  /** Where the bytes go: at least `length` bytes. A fresh array unless given. */
  readonly into?: Uint8Array | undefined;
  /** Ends the read by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** A file that can be read at any place, wherever it lies: on disk, in a Blob, in memory, behind a URL. */
export interface ByteSource {
  /** For messages: the file's own name, without its folder. */
  readonly name: string;
  /** Bytes. A source whose size changes while it is read throws `FILE_CHANGED`. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `offset`: the start of `options.into`, or a fresh array. Throws `FILE_RANGE` outside
   * the file, `FILE_READ` where the medium fails, and the signal's reason when it is aborted.
   */
  read(offset: number, length: number, options?: ReadOptions): Promise<Uint8Array>;
}

/** Bytes asked of the medium at once: small enough that an abort is answered soon and transient copies stay small. */
export const READ_STEP: number = 1 << 20;

/** The checks that every source makes first; returns the array to fill, of exactly `length` bytes. */
export function prepareRead(source: ByteSource, offset: number, length: number, options?: ReadOptions): Uint8Array {
  options?.signal?.throwIfAborted();
  const inside =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= source.size;
  if (!inside) {
    throw new MambaError(
      'FILE_RANGE',
      `${source.name}: ${length} bytes from byte ${offset} were asked for, but the file has ${source.size}`,
      { file: source.name, offset, length, size: source.size },
    );
  }
  if (!options?.into) return new Uint8Array(length);
  if (options.into.byteLength < length) {
    throw new MambaError(
      'FILE_RANGE',
      `${source.name}: ${length} bytes were asked for, but the buffer given for them has ${options.into.byteLength}`,
      { file: source.name, length, buffer: options.into.byteLength },
    );
  }
  return options.into.subarray(0, length);
}

/** Bytes in memory as a source. They are not copied: do not change them while the source is in use. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  const source: ByteSource = {
    name,
    size: bytes.byteLength,
    async read(offset, length, options) {
      const out = prepareRead(source, offset, length, options);
      out.set(bytes.subarray(offset, offset + length));
      return out;
    },
  };
  return source;
}

/** A Blob or File as a source, read through `Blob.slice` in steps of 1 MiB. Throws `FILE_READ` where it has gone. */
export function blobSource(blob: Blob, name: string = (blob as Partial<File>).name ?? 'blob'): ByteSource {
  const source: ByteSource = {
    name,
    size: blob.size,
    async read(offset, length, options) {
      const out = prepareRead(source, offset, length, options);
      for (let done = 0; done < length; ) {
        const step = Math.min(READ_STEP, length - done);
        let bytes: ArrayBuffer;
        try {
          bytes = await blob.slice(offset + done, offset + done + step).arrayBuffer();
        } catch (cause) {
          throw new MambaError(
            'FILE_READ',
            `${name} can no longer be read; it was probably changed or moved since it was chosen. Choose it again.`,
            { file: name, offset: offset + done },
            { cause },
          );
        }
        options?.signal?.throwIfAborted();
        if (bytes.byteLength !== step) {
          throw new MambaError(
            'FILE_CHANGED',
            `${name}: ${step} bytes from byte ${offset + done} were asked for and ${bytes.byteLength} came: the file has ` +
              'become shorter. Choose it again.',
            { file: name, offset: offset + done, expected: step, found: bytes.byteLength },
          );
        }
        out.set(new Uint8Array(bytes), done);
        done += step;
      }
      return out;
    },
  };
  return source;
}

/** The whole of a small file; throws `FILE_SIZE` before reading anything where it has more than `limit` bytes. */
export async function readWhole(source: ByteSource, limit: number, signal?: AbortSignal): Promise<Uint8Array> {
  if (source.size > limit) {
    throw new MambaError(
      'FILE_SIZE',
      `${source.name} has ${source.size} bytes; at most ${limit} are accepted for a file of its kind. Is it the right file?`,
      { file: source.name, limit, size: source.size },
    );
  }
  return source.read(0, source.size, { signal });
}
