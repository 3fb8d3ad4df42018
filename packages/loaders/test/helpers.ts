import { isMambaError, type MambaError } from '@mamba-ts/tensor';
import { type TensorToWrite, writeSafetensors } from '../src/index.ts';

export async function join(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of pieces) parts.push(piece.slice());
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

export const file = (tensors: Iterable<TensorToWrite>, metadata?: Record<string, string>): Promise<Uint8Array> =>
  join(writeSafetensors(tensors, metadata));

/** A file with any header and `data` zero bytes after it. */
export function raw(header: string | Uint8Array, data: number | Uint8Array = 0, length?: number | bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const tail = typeof data === 'number' ? new Uint8Array(data) : data;
  const out = new Uint8Array(8 + json.length + tail.length);
  new DataView(out.buffer).setBigUint64(0, BigInt(length ?? json.length), true);
  out.set(json, 8);
  out.set(tail, 8 + json.length);
  return out;
}

/** `count` bytes that differ from place to place. */
export const pattern = (count: number, start: number = 0): Uint8Array<ArrayBuffer> =>
  Uint8Array.from({ length: count }, (_, i) => (7 * i + 31 * start) % 256);

/** The typed error that `run` ends with, null where it ends with none; any other error fails the test. */
export async function errorOf(run: () => unknown): Promise<MambaError | null> {
  try {
    await run();
  } catch (error) {
    if (isMambaError(error)) return error;
    throw error;
  }
  return null;
}

export const codeOf = async (run: () => unknown): Promise<string> => (await errorOf(run))?.code ?? 'no error';

export const messageOf = async (run: () => unknown): Promise<string> => (await errorOf(run))?.message ?? 'no error';
