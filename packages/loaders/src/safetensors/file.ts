import { MambaError } from '@mamba-ts/tensor';
import type { ByteSource } from '../byte-source.ts';
import { LIMITS } from './dtypes.ts';
import { parseHeader, type SafetensorsTensor } from './header.ts';

/** A safetensors file whose header has been read and checked; no tensor has been read. */
export interface SafetensorsFile {
  readonly source: ByteSource;
  /** By name, in file order. */
  readonly tensors: ReadonlyMap<string, SafetensorsTensor>;
  /** The header's `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Bytes from the start of the file to the first tensor. */
  readonly dataStart: number;
}

/**
 * Reads and checks the header of a safetensors file: 8 bytes of length (little-endian), that many bytes of JSON, then the
 * tensors. Nothing is accepted that the reference reader (huggingface/safetensors `tensor.rs`) refuses; stricter than it
 * in duplicate names, spellings that serde alone understands, numbers from 2^53 up, and the sizes in `LIMITS`.
 *
 * Errors, one code each: `SAFETENSORS_TRUNCATED` (bytes are missing at the end), `_TRAILING` (bytes too many),
 * `_HEADER_LENGTH`, `_HEADER_UTF8`, `_HEADER_JSON`, `_METADATA`, `_DUPLICATE_NAME`, `_ENTRY` (fields missing or twice),
 * `_DTYPE`, `_SHAPE`, `_OFFSETS`, `_SPAN` (shape and offsets disagree), `_OVERLAP`, `_HOLE`, `_LIMIT`.
 */
export async function openSafetensors(source: ByteSource, signal?: AbortSignal): Promise<SafetensorsFile> {
  const { name: file, size } = source;
  const truncated = (expected: number, what: string): MambaError =>
    new MambaError(
      'SAFETENSORS_TRUNCATED',
      `${file} has ${size} bytes, but ${what} needs ${expected}: the end is missing. Was it downloaded whole?`,
      { file, expected, found: size },
    );
  if (size < 8) throw truncated(8, 'the length of the header');
  const prefix = await source.read(0, 8, { signal });
  const view = new DataView(prefix.buffer, prefix.byteOffset, 8);
  const length = view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true);
  if (length < 2 || length > LIMITS.header) {
    throw new MambaError(
      'SAFETENSORS_HEADER_LENGTH',
      `${file} says that its header has ${length} bytes; 2 to ${LIMITS.header} are possible. It is damaged or not a safetensors file.`,
      { file, found: length, limit: LIMITS.header },
    );
  }
  const dataStart = 8 + length;
  if (size < dataStart) throw truncated(dataStart, 'the header');
  const header = parseHeader(await source.read(8, length, { signal }), file);
  const end = dataStart + (header.tensors.at(-1)?.end ?? 0);
  if (size < end) throw truncated(end, 'the last tensor');
  if (size > end) {
    throw new MambaError(
      'SAFETENSORS_TRAILING',
      `${file} has ${size} bytes, but its tensors end at byte ${end}: the rest belongs to none of them`,
      { file, expected: end, found: size },
    );
  }
  return { source, dataStart, metadata: header.metadata, tensors: new Map(header.tensors.map((t) => [t.name, t])) };
}
