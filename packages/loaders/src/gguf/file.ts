import { isMambaError, MambaError } from '@mamba-ts/tensor';
import type { ByteSource } from '../byte-source.ts';
import { checkFileName } from '../file-name.ts';
import type { ModelFolder } from '../folder.ts';
import { type GgufHeader, parseGgufHeader } from './header.ts';
import { GGUF_LIMITS } from './types.ts';

/** A GGUF file whose header has been read and checked; no tensor has been read. */
export interface GgufFile extends GgufHeader {
  readonly source: ByteSource;
}

/** The first piece: the header of most files, a vocabulary of 50,000 tokens (1.1 MB with its merges) included. */
const FIRST = 5 << 18;

/**
 * Reads and checks the header of a GGUF file, version 2 or 3, little-endian (ggml `gguf.cpp`, docs/gguf.md). Stricter than
 * those in what no tool writes: arrays of arrays, holes, bytes after the last tensor, and the sizes in `GGUF_LIMITS`.
 *
 * Errors, one code each: `GGUF_MAGIC`, `_VERSION`, `_ENDIAN`, `_TRUNCATED` (bytes are missing at the end), `_TRAILING` (bytes
 * too many), `_UTF8`, `_VALUE` (an unknown type, a bool that is none), `_DUPLICATE` (a key or a tensor twice), `_ALIGNMENT`,
 * `_SHAPE`, `_TENSOR_TYPE`, `_OFFSET` (not aligned), `_OVERLAP`, `_HOLE`, `_LIMIT`.
 */
export async function openGguf(source: ByteSource, signal?: AbortSignal): Promise<GgufFile> {
  const longest = Math.min(source.size, GGUF_LIMITS.header);
  // Nothing says how long the header is. Reading eight times as much each time reads it about once in all.
  for (let length = Math.min(FIRST, longest); ; length = Math.min(8 * length, longest)) {
    const header = parseGgufHeader(await source.read(0, length, { signal }), source.size, source.name);
    if (header) return { source, ...header };
    if (length === longest) {
      throw new MambaError('GGUF_LIMIT', `${source.name}: its header has more than ${longest} bytes`, {
        file: source.name,
        limit: longest,
      });
    }
  }
}

/** `model-00001-of-00003.gguf` -> its parts; null for a file that is whole. */
export function splitName(name: string): { stem: string; part: number; count: number } | null {
  const match = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(name);
  return match && { stem: match[1]!, part: Number(match[2]), count: Number(match[3]) };
}

/**
 * Opens `name` of a folder, and where it is one of several (`-00001-of-00003.gguf`) all of them, the first one first: it
 * holds the metadata. Throws `GGUF_SPLIT` where one is missing or does not say that it is what its name says, `FILE_NAME`,
 * and what `openGguf` throws.
 */
export async function openGgufParts(folder: ModelFolder, name: string, signal?: AbortSignal): Promise<GgufFile[]> {
  checkFileName(name, folder.name);
  const split = splitName(name);
  if (!split) return [wholeFile(await openGguf(await folder.open(name, signal), signal))];
  const { stem, part, count } = split;
  if (count < 1 || count > GGUF_LIMITS.shards || part < 1 || part > count) {
    throw splitError(name, `its name says part ${part} of ${count}; 1 to ${GGUF_LIMITS.shards} parts are possible`);
  }
  const files: GgufFile[] = [];
  for (let i = 1; i <= count; i++) {
    const digits = (n: number): string => String(n).padStart(5, '0');
    const own = i === part ? name : `${stem}-${digits(i)}-of-${digits(count)}.gguf`;
    const file = await openGguf(await openPart(folder, own, count, signal), signal);
    const [no, parts] = [file.metadata.get('split.no'), file.metadata.get('split.count')];
    if (no !== i - 1 || parts !== count) {
      throw splitError(own, `it should be part ${i} of ${count}, but says split.no ${no}, split.count ${parts}`);
    }
    files.push(file);
  }
  const expected = files[0]!.metadata.get('split.tensors.count');
  const found = files.reduce((sum, { tensors }) => sum + tensors.length, 0);
  if (expected !== undefined && expected !== found) {
    throw splitError(name, `all parts together should hold ${expected} tensors, but hold ${found}`);
  }
  return files;
}

/** Passes a file that is not one of several. */
export function wholeFile(file: GgufFile): GgufFile {
  const count = file.metadata.get('split.count');
  if (count === undefined || count === 0 || count === 1) return file;
  throw splitError(
    file.source.name,
    `it is one of ${count} parts. Give them their own names back (-00001-of-0000N.gguf), put them in one folder, and pass that`,
  );
}

function splitError(file: string, what: string): MambaError {
  return new MambaError('GGUF_SPLIT', `${file}: ${what}`, { file });
}

async function openPart(folder: ModelFolder, name: string, count: number, signal?: AbortSignal): Promise<ByteSource> {
  try {
    return await folder.open(name, signal);
  } catch (error) {
    if (!isMambaError(error, 'FILE_MISSING')) throw error;
    throw new MambaError(
      'GGUF_SPLIT',
      `the model is in ${count} parts, and ${error.message}. Put it beside the others.`,
      { ...error.details, file: name },
      { cause: error },
    );
  }
}
