import { type ByteSource, prepareRead } from './byte-source.ts';

/** So many bytes are read at once where fewer are asked for. */
const WINDOW = 1 << 20;

/**
 * The same source for reading it mostly from front to back: small reads (the vectors between a model's matrices) are served
 * from one larger read. Each read of a file costs an opening, a look at it and a closing.
 */
export function readTogether(source: ByteSource): ByteSource {
  let window: { readonly start: number; readonly bytes: Promise<Uint8Array> } | null = null;
  return {
    name: source.name,
    size: source.size,
    async read(offset, length, options) {
      if (length > WINDOW / 4) return source.read(offset, length, options);
      const out = prepareRead(source, offset, length, options);
      if (window === null || offset < window.start || offset + length > window.start + WINDOW) {
        const bytes = source.read(offset, Math.min(WINDOW, source.size - offset), { signal: options?.signal });
        window = { start: offset, bytes };
      }
      const { start, bytes } = window;
      try {
        out.set((await bytes).subarray(offset - start, offset - start + length));
      } catch (error) {
        window = null; // another read may fare better
        throw error;
      }
      options?.signal?.throwIfAborted();
      return out;
    },
  };
}
