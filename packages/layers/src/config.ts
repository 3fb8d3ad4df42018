import { MambaError } from '@mamba-ts/tensor';
import type { ConfigJson } from './architecture.ts';

// Field readers for config.json: each names the field, what was expected and what was found.

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};

function refuse(field: string, expected: string, value: unknown): never {
  throw new MambaError('CONFIG', `config.json: "${field}" must be ${expected}, found ${shown(value)}`, {
    field,
    expected,
  });
}

/** Sizes beyond this are refused: no model has them, and the product of two stays an exact integer. */
const LIMIT = 2 ** 24;

/** More layers are refused before anything is made for each of them: these take about 10 ms. */
export const MAX_LAYERS = 1024;

/** A whole number from 1 to `limit` under the first of `fields` that is present; `fallback` where none is. */
export function size(
  json: ConfigJson,
  fields: string | readonly string[],
  fallback?: number,
  limit: number = LIMIT,
): number {
  const names = typeof fields === 'string' ? [fields] : fields;
  const name = names.find((field) => json[field] !== undefined && json[field] !== null);
  if (name === undefined) {
    if (fallback !== undefined) return fallback;
    return refuse(names.join('" or "'), 'a positive whole number', undefined);
  }
  const value = json[name];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > limit) {
    return refuse(name, `a whole number from 1 to ${limit}`, value);
  }
  return value;
}

/** The width inside a mixer: `expand` (2 unless told otherwise) times the model's, rounded down, 1 to 2^24. */
export function expanded(json: ConfigJson, dModel: number): number {
  const expand = positive(json, 'expand', 2);
  const width = Math.floor(expand * dModel);
  if (!(width >= 1 && width <= LIMIT)) {
    return refuse('expand', `such that the width of ${dModel} times it is from 1 to ${LIMIT}`, expand);
  }
  return width;
}

export function positive(json: ConfigJson, field: string, fallback: number): number {
  const value = json[field] ?? fallback;
  if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value))
    return refuse(field, 'a positive number', value);
  return value;
}

export function flag(json: ConfigJson, field: string, fallback: boolean): boolean {
  const value = json[field] ?? fallback;
  if (typeof value !== 'boolean') return refuse(field, 'true or false', value);
  return value;
}

/** The field must be absent or one of `values`: other values mean a computation that we do not do. */
export function oneOf(json: ConfigJson, field: string, values: readonly unknown[]): void {
  const value = json[field];
  if (value !== undefined && value !== null && !values.includes(value)) {
    refuse(field, `one of ${values.map(shown).join(', ')}`, value);
  }
}

/** A token id or a list of them. */
export function tokenIds(json: ConfigJson, field: string, vocabSize: number): number[] {
  const value = json[field];
  if (value === undefined || value === null) return [];
  const list = Array.isArray(value) ? value : [value];
  for (const id of list) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= vocabSize) {
      return refuse(field, `token ids from 0 to ${vocabSize - 1}`, value);
    }
  }
  return list as number[];
}

export function object(json: ConfigJson, field: string): ConfigJson {
  const value = json[field] ?? {};
  if (typeof value !== 'object' || Array.isArray(value)) return refuse(field, 'an object', value);
  return value as ConfigJson;
}

/** The field must be absent or an empty list: `meaning` says what that stands for. */
export function absent(json: ConfigJson, field: string, meaning: string): void {
  const value = json[field];
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return;
  refuse(field, `absent or [] (${meaning})`, value);
}

/** A pair of numbers, 0 <= low <= high; high may be infinite. */
export function range(
  json: ConfigJson,
  field: string,
  fallback: readonly [low: number, high: number],
): readonly [low: number, high: number] {
  const value = json[field] ?? fallback;
  if (!Array.isArray(value) || value.length !== 2) return refuse(field, 'a list of two numbers', value);
  const [low, high] = value;
  if (typeof low !== 'number' || typeof high !== 'number' || !(low >= 0 && low <= high)) {
    return refuse(field, 'two numbers, 0 <= low <= high', value);
  }
  return [low, high];
}

/** Fields that are well-formed alone must fit one another: `message` says which do not. */
export function consistent(condition: boolean, message: string): void {
  if (!condition) throw new MambaError('CONFIG', `config.json: ${message}`);
}
