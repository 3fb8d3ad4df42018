import { isMambaError, MambaError } from '@mamba-ts/tensor';
import { type ByteSource, readWhole } from './byte-source.ts';

/**
 * Python writes infinities as the bare words `Infinity` and `-Infinity` (json.dumps; config.json of Mamba-2 holds one in
 * `time_step_limit`), which JSON does not know. Outside strings they become numbers that overflow to the same value.
 */
function pythonInfinities(text: string): string {
  const parts: string[] = [];
  let copied = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === 0x5c /* \ */) i++;
      else if (c === 0x22 /* " */) inString = false;
    } else if (c === 0x22) inString = true;
    else if (c === 0x49 /* I */ && text.startsWith('Infinity', i)) {
      // Spaces keep it apart from what must not stand next to it: `Infinity0` is as wrong as it was.
      parts.push(text.slice(copied, i), text[i - 1] === '-' ? '1e999 ' : ' 1e999 ');
      i += 7;
      copied = i + 1;
    }
  }
  parts.push(text.slice(copied));
  return parts.join('');
}

const TAGGED: Readonly<Record<string, number>> = {
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  NaN: Number.NaN,
};

/** transformers 5 writes the same numbers as `{"__float__": "Infinity"}`. */
function untagFloat(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, '__float__')) return value;
  const keys = Object.keys(value);
  const tag = (value as { __float__: unknown }).__float__;
  return keys.length === 1 && typeof tag === 'string' && Object.hasOwn(TAGGED, tag) ? TAGGED[tag] : value;
}

/**
 * The object in a small JSON file, UTF-8, at most `limit` bytes. Both of Python's ways to write infinities are
 * understood. Throws `<code>_SIZE` and `<code>_JSON`.
 */
export async function readJsonObject(
  source: ByteSource,
  code: string,
  limit: number,
  signal?: AbortSignal,
): Promise<Record<string, unknown>> {
  let bytes: Uint8Array;
  try {
    bytes = await readWhole(source, limit, signal);
  } catch (error) {
    if (!isMambaError(error, 'FILE_SIZE')) throw error;
    throw new MambaError(`${code}_SIZE`, error.message, error.details, { cause: error });
  }
  let value: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const json = text.includes('Infinity') ? pythonInfinities(text) : text;
    // A reviver is called for every value, ten times the time of the parsing itself: only where there may be one.
    value = json.includes('_float_') ? JSON.parse(json, untagFloat) : JSON.parse(json);
  } catch (cause) {
    throw new MambaError(
      `${code}_JSON`,
      `${source.name} is not JSON in UTF-8: ${cause instanceof Error ? cause.message : String(cause)}. Was it downloaded whole?`,
      { file: source.name, size: source.size },
      { cause },
    );
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const found = value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
    throw new MambaError(`${code}_JSON`, `${source.name} must hold a JSON object, but it holds ${found}`, {
      file: source.name,
      found,
    });
  }
  return value as Record<string, unknown>;
}

/** Fields of config.json that transformers takes as lists of floats alone: it refuses 0 where 0.0 is meant. */
const FLOATS = new Set(['time_step_limit']);

/** JSON as Python writes and reads it, infinities as bare words, a line for each field. */
export function jsonText(value: unknown): string {
  // JSON.stringify spells a control character out, so that no quote before it can be mistaken.
  const marked = (key: string, each: unknown): unknown => {
    if (each === Number.POSITIVE_INFINITY || each === Number.NEGATIVE_INFINITY) return `\u0001${each}`;
    if (!FLOATS.has(key) || !Array.isArray(each)) return each;
    return each.map((number) => (Number.isInteger(number) ? `\u0001${number.toFixed(1)}` : number));
  };
  return `${JSON.stringify(value, marked, 2).replaceAll(/"\\u0001(-?Infinity|-?\d+\.0)"/g, '$1')}\n`;
}
