import { crc32 } from '@mamba-ts/tensor';

/** A file to be put into an archive. */
export interface FileToZip {
  /** With its folders, by `/`. */
  readonly name: string;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Midnight of 1980-01-01, the first moment that the format knows: the same files give the same bytes. */
const [TIME, DATE] = [0, 0x21];
/** Needs version 2.0 to be unpacked; names are UTF-8. */
const [VERSION, UTF8] = [20, 0x0800];

/**
 * A zip archive of files below 4 GiB, stored as they are: weights hardly shrink. Source: PKWARE's APPNOTE 6.3.10, sections 4.3.7,
 * 4.3.12 and 4.3.16.
 */
export function zip(files: readonly FileToZip[]): Blob {
  const parts: BlobPart[] = [];
  const directory: BlobPart[] = [];
  let [offset, directorySize] = [0, 0];
  for (const { name, data } of files) {
    const path = new TextEncoder().encode(name);
    // In both headers the same: flags, method 0, time, date, checksum, twice the size, lengths of the name and of extras.
    const about = [u16(UTF8), u16(0), u16(TIME), u16(DATE), u32(crc32(data)), u32(data.length), u32(data.length)];
    const lengths = [u16(path.length), u16(0)];
    const local = [u32(0x04034b50), u16(VERSION), ...about, ...lengths, path];
    const nowhere = [u16(0), u16(0), u16(0), u32(0)]; // No comment, disk 0, no attributes.
    const entry = [u32(0x02014b50), u16(VERSION), u16(VERSION), ...about, ...lengths, ...nowhere, u32(offset), path];
    parts.push(...local, data);
    directory.push(...entry);
    offset += sizeOf(local) + data.length;
    directorySize += sizeOf(entry);
  }
  const counts = [u16(files.length), u16(files.length)];
  const end = [u32(0x06054b50), u16(0), u16(0), ...counts, u32(directorySize), u32(offset), u16(0)];
  return new Blob([...parts, ...directory, ...end], { type: 'application/zip' });
}

const u16 = (value: number): Uint8Array<ArrayBuffer> => Uint8Array.of(value, value >>> 8);
const u32 = (value: number): Uint8Array<ArrayBuffer> => Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
const sizeOf = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { length }) => sum + length, 0);
