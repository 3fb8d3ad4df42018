/**
 * Decodes ids one at a time. The pieces joined, `flush()` included, equal `decode` of all the ids: characters whose
 * bytes are spread over tokens come out whole, with the token that completes them.
 */
export interface StreamingDecoder {
  /** The text that this id completes, often empty for part of a character. Errors as `decode`. */
  push(id: number): string;
  /** What is left at the end: U+FFFD for an incomplete character, else nothing. The decoder then starts anew. */
  flush(): string;
}

/** WHATWG's decoder replaces invalid UTF-8 by U+FFFD per maximal subpart, which is also what Python's oracle does. */
export function createStreamingDecoder(bytesOf: (id: number) => Uint8Array): StreamingDecoder {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    push: (id) => decoder.decode(bytesOf(id), { stream: true }),
    flush: () => decoder.decode(),
  };
}
