import { TokenizerError } from './errors.ts';

// Readers of one field each. `path` names the place in the file for the error.

export type JsonObject = Readonly<Record<string, unknown>>;

export function malformed(path: string, expected: string, found: unknown): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_JSON',
    `tokenizer.json: ${path} should be ${expected}, but is ${describe(found)}. Check that the file is complete and was written by a tokenizers-compatible tool.`,
    { path, expected, found: describe(found) },
  );
}

export function unsupported(path: string, found: unknown, supported: readonly string[]): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_UNSUPPORTED',
    `tokenizer.json: ${path} is ${describe(found)}, which is not supported. Supported: ${supported.join(', ')}.`,
    { path, found: describe(found), supported },
  );
}

export function overLimit(path: string, limit: number, found: number): TokenizerError {
  return new TokenizerError(
    'TOKENIZER_LIMIT',
    `tokenizer.json: ${path} is ${found}, and at most ${limit} is accepted. If the file is sound, its limit in packages/tokenizer is too low.`,
    { path, limit, found },
  );
}

/** A short rendering for messages: never more than a line, whatever the file holds. */
function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  return String(value);
}

export function asObject(value: unknown, path: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(path, 'an object', value);
  return value as JsonObject;
}

export function asArray(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value)) throw malformed(path, 'an array', value);
  return value;
}

export function asText(value: unknown, path: string): string {
  if (typeof value !== 'string') throw malformed(path, 'a string', value);
  if (!value.isWellFormed()) throw malformed(path, 'a string without lone surrogates', value);
  return value;
}

/** A boolean; with a `fallback`, a missing one or null is that. */
export function asFlag(value: unknown, path: string, fallback?: boolean): boolean {
  if (fallback !== undefined && (value === undefined || value === null)) return fallback;
  if (typeof value !== 'boolean') throw malformed(path, 'true or false', value);
  return value;
}

/** Ids fit a float64 key together with a rank (merges.ts), hence 24 bits. */
export const MAX_ID: number = 2 ** 24 - 1;

export function asId(value: unknown, path: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MAX_ID || Object.is(value, -0)) {
    throw malformed(path, `an integer from 0 to ${MAX_ID}`, value);
  }
  return value;
}

/** Refuses fields that would change the meaning and that nothing here reads. */
export function onlyFields(object: JsonObject, path: string, known: readonly string[]): void {
  for (const field in object) {
    if (!known.includes(field)) throw unsupported(`a field of ${path}`, field, known);
  }
}
