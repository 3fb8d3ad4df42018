import { MambaError } from '@mamba-ts/tensor';
import type { ByteSource } from '../byte-source.ts';
import { shownName } from '../safetensors/header.ts';

/** A file in an archive, stored as it is. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes from the start of the archive. */
  readonly begin: number;
  readonly end: number;
  readonly crc: number;
}

/** As the directory has it. */
interface Listed {
  readonly name: string;
  readonly nameLength: number;
  readonly header: number;
  readonly bytes: number;
  readonly crc: number;
}

const LIMITS = { directory: 16 << 20, entries: 65_536 } as const;
/** That a descriptor follows the bytes, and that names are UTF-8. */
const FLAGS = 0x808;
const END = 22;
const END64 = 56;
const LOCATOR64 = 20;

/**
 * The files of a zip archive by name, as PyTorch writes it: stored, not deflated, so that nothing inflates. One central
 * directory, at the very end but for its end record and an empty comment; no name twice, no overlap.
 *
 * Throws `PYTORCH_ZIP` saying what is wrong, and `PYTORCH_TRUNCATED` where the end record is missing.
 */
export async function openZip(source: ByteSource, signal?: AbortSignal): Promise<ReadonlyMap<string, ZipEntry>> {
  const fail = (what: string): never => {
    throw new MambaError('PYTORCH_ZIP', `${source.name}: ${what}`, { file: source.name });
  };
  const { offset, size, count } = await findDirectory(source, fail, signal);
  if (size > LIMITS.directory || count > LIMITS.entries) fail(`its directory lists ${count} files in ${size} bytes`);
  const view = viewOf(await source.read(offset, size, { signal }));
  const entries: Listed[] = [];
  const names = new Set<string>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > size || view.getUint32(at, true) !== 0x02014b50) fail(`entry ${i} of its directory is damaged`);
    const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
    const [nameLength, extraLength] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)];
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > size) fail(`entry ${i} of its directory is damaged`);
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameLength));
    if ((flags & ~FLAGS) !== 0 || method !== 0) {
      const what = method !== 0 ? 'compressed' : 'encrypted, or has flags that PyTorch does not write';
      fail(`${shownName(name)} in it is ${what}; PyTorch stores files as they are`);
    }
    // For a folder, which the attributes of DOS tell, PyTorch reads nothing and leaves the tensor as the memory was.
    if (view.getUint16(at + 34, true) !== 0 || (view.getUint32(at + 38, true) & 0x10) !== 0) {
      fail(`${shownName(name)} in it is a folder, or in another volume`);
    }
    const sizes = {
      packed: view.getUint32(at + 20, true),
      bytes: view.getUint32(at + 24, true),
      header: view.getUint32(at + 42, true),
    };
    widen(view, at + 46 + nameLength, extraLength, sizes, fail);
    if (sizes.packed !== sizes.bytes) fail(`${shownName(name)} in it has two sizes`);
    // PyTorch looks for names without regard to case.
    const folded = name.toLowerCase();
    if (names.has(folded)) fail(`it holds two files called ${shownName(name)}`);
    names.add(folded);
    entries.push({ name, nameLength, header: sizes.header, bytes: sizes.bytes, crc: view.getUint32(at + 16, true) });
    at = next;
  }
  if (at !== size) fail('its directory has bytes that list nothing');
  return locate(source, entries, offset, fail, signal);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
type Fail = (what: string) => never;

function wide(view: DataView, at: number, fail: Fail): number {
  const found = Number(view.getBigUint64(at, true));
  return Number.isSafeInteger(found) ? found : fail('a size in it is beyond 2^53');
}

/** Zip64: sizes of 2^32 - 1 stand for those in the extra field 1, in this order. */
function widen(
  view: DataView,
  start: number,
  length: number,
  sizes: { packed: number; bytes: number; header: number },
  fail: Fail,
): void {
  const wanted = (['bytes', 'packed', 'header'] as const).filter((key) => sizes[key] === 0xffffffff);
  if (wanted.length === 0) return;
  for (let at = start; at + 4 <= start + length; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue;
    if (view.getUint16(at + 2, true) < 8 * wanted.length || at + 4 + 8 * wanted.length > start + length) break;
    wanted.forEach((key, i) => {
      sizes[key] = wide(view, at + 4 + 8 * i, fail);
    });
    return;
  }
  fail('a large file in it has no size');
}

async function findDirectory(
  source: ByteSource,
  fail: Fail,
  signal?: AbortSignal,
): Promise<{ offset: number; size: number; count: number }> {
  const truncated = (): never => {
    throw new MambaError(
      'PYTORCH_TRUNCATED',
      `${source.name} has ${source.size} bytes and does not end as a zip archive does: the end is missing. Was it downloaded whole?`,
      { file: source.name, found: source.size },
    );
  };
  if (source.size < END) truncated();
  const end = viewOf(await source.read(source.size - END, END, { signal }));
  if (end.getUint32(0, true) !== 0x06054b50 || end.getUint16(20, true) !== 0) truncated();
  if (end.getUint32(4, true) !== 0 || end.getUint16(8, true) !== end.getUint16(10, true))
    fail('it is one of several volumes');
  let [count, size, offset] = [end.getUint16(10, true), end.getUint32(12, true), end.getUint32(16, true)];
  let expected = source.size - END;
  if (source.size >= END + LOCATOR64 + END64) {
    const locator = viewOf(await source.read(expected - LOCATOR64, LOCATOR64, { signal }));
    if (locator.getUint32(0, true) === 0x07064b50) {
      const place = wide(locator, 8, fail);
      expected -= LOCATOR64 + END64;
      if (place !== expected) fail('its zip64 end record is not before its locator');
      const end64 = viewOf(await source.read(place, END64, { signal }));
      if (end64.getUint32(0, true) !== 0x06064b50) fail('its zip64 end record is damaged');
      count = wide(end64, 32, fail);
      const volumes = [locator.getUint32(4, true), end64.getUint32(16, true), end64.getUint32(20, true)];
      if (volumes.some((n) => n !== 0) || locator.getUint32(16, true) !== 1 || wide(end64, 24, fail) !== count) {
        fail('it is one of several volumes');
      }
      size = wide(end64, 40, fail);
      offset = wide(end64, 48, fail);
    }
  }
  if (offset + size !== expected) fail('its directory does not end where its end record begins');
  return { offset, size, count };
}

/** Where the bytes of each file begin: behind its own header, which must agree with the directory. */
async function locate(
  source: ByteSource,
  entries: readonly Listed[],
  directory: number,
  fail: Fail,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, ZipEntry>> {
  const found = new Map<string, ZipEntry>();
  let free = 0;
  for (const { name, nameLength, header, bytes, crc } of [...entries].sort((a, b) => a.header - b.header)) {
    const length = 30 + nameLength;
    if (header < free || header + length > directory) fail(`${shownName(name)} in it overlaps another file`);
    const head = await source.read(header, length, { signal });
    const local = viewOf(head);
    const begin = header + length + local.getUint16(28, true);
    const fine = local.getUint32(0, true) === 0x04034b50 && local.getUint16(8, true) === 0;
    if (!fine || local.getUint16(26, true) !== nameLength || begin + bytes > directory) {
      fail(`the header of ${shownName(name)} in it is damaged`);
    }
    const own = new TextDecoder().decode(head.subarray(30));
    if (own !== name) fail(`${shownName(name)} in it calls itself ${shownName(own)}`);
    free = begin + bytes;
    found.set(name, { name, begin, end: begin + bytes, crc });
  }
  return found;
}
