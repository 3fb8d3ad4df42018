// GPT-2's reversible map between bytes and printable characters, used for the tokens of a byte-level vocabulary.

/** For each byte its character. */
export const BYTE_TO_CHARACTER: readonly string[] = byteCharacters();

const CHARACTER_TO_BYTE: ReadonlyMap<string, number> = new Map(BYTE_TO_CHARACTER.map((c, byte) => [c, byte]));

const encoder: TextEncoder = new TextEncoder();

function byteCharacters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte !== 0xad);
    return String.fromCharCode(printable ? byte : next++);
  });
}

/**
 * The bytes that a token stands for. A token with a character outside the map (an added token such as "  ")
 * stands for its own UTF-8, as in Python.
 */
export function tokenBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = CHARACTER_TO_BYTE.get(token[i]!);
    if (byte === undefined) return encoder.encode(token);
    bytes[i] = byte;
  }
  return bytes;
}
