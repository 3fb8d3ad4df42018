import { MambaError } from '@mamba-ts/tensor';

/** How the next token is chosen. The defaults are neutral: with no option given the choice is greedy. */
export interface SamplerOptions {
  /** Divides the logits; 0 (the default) takes the most likely token, of equals the one with the lowest id. >= 0. */
  readonly temperature?: number;
  /** Keeps the k most likely tokens, and those as likely as the k-th. Integer; 0 (the default) keeps all. */
  readonly topK?: number;
  /** Keeps the fewest most likely tokens whose probabilities reach p together, at least one. 0 to 1 (default: all). */
  readonly topP?: number;
  /** Keeps tokens at least p times as likely as the most likely one. 0 (the default) to 1. */
  readonly minP?: number;
  /** Divides positive and multiplies negative logits of every token in prompt and text. > 0; 1 (default) is neutral. */
  readonly repetitionPenalty?: number;
  /** Subtracted from a token's logit once for each time it was generated. -2 to 2; 0 is the default. */
  readonly frequencyPenalty?: number;
  /** Subtracted from the logit of a token that was generated at least once. -2 to 2; 0 is the default. */
  readonly presencePenalty?: number;
  /** Added to the logits of single ids; -Infinity forbids an id. */
  readonly logitBias?: Readonly<Record<number, number>>;
  /** Integer from 0 (the default) to 2^53 - 1: the same seed draws the same tokens. */
  readonly seed?: number;
}

/** The names of all {@link SamplerOptions}. */
export const SAMPLER_OPTIONS: readonly (keyof SamplerOptions)[] = [
  'temperature',
  'topK',
  'topP',
  'minP',
  'repetitionPenalty',
  'frequencyPenalty',
  'presencePenalty',
  'logitBias',
  'seed',
];

/** {@link SamplerOptions} with every default filled in and every value checked. */
export interface ResolvedSamplerOptions {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
  readonly logitBias: readonly (readonly [id: number, bias: number])[];
  readonly seed: number;
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value);
}

/** The error for an option with a wrong value: `INVALID_OPTION` with `details.option` and `details.value`. */
export function invalidOption(option: string, expected: string, value: unknown): MambaError {
  return new MambaError(
    'INVALID_OPTION',
    `${option} must be ${expected}, but is ${describe(value)}; correct it, or leave it out for the default`,
    { option, expected, value },
  );
}

/**
 * Refuses anything but an object with known keys: a misspelt option that is ignored is a wrong answer.
 * Throws `INVALID_OPTION` or `UNKNOWN_OPTION`.
 */
export function checkKeys(options: unknown, known: readonly string[], where: string): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidOption(`the options of ${where}`, 'an object', options);
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      throw new MambaError('UNKNOWN_OPTION', `${where} has no option ${describe(key)}; it has ${known.join(', ')}`, {
        option: key,
        known,
      });
    }
  }
}

function between(name: string, value: unknown, fallback: number, low: number, high: number): number {
  if (value === undefined) return fallback;
  if (!Number.isFinite(value) || (value as number) < low || (value as number) > high) {
    const range = high === Number.POSITIVE_INFINITY ? `of at least ${low}` : `from ${low} to ${high}`;
    throw invalidOption(name, `a finite number ${range}`, value);
  }
  return value as number;
}

/** A checked integer option of at least `low`; `undefined` gives `fallback`. Throws `INVALID_OPTION`. */
export function integerOption(name: string, value: unknown, fallback: number, low: number): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || (value as number) < low) {
    throw invalidOption(name, `an integer from ${low} to 2^53 - 1`, value);
  }
  return value as number;
}

function biasEntries(value: unknown, vocabSize: number): (readonly [number, number])[] {
  if (value === undefined) return [];
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map) {
    throw invalidOption('logitBias', 'a plain object from token ids to numbers', value);
  }
  return Object.entries(value).map(([key, bias]: [string, unknown]) => {
    const id = Number(key);
    if (!Number.isInteger(id) || String(id) !== key || id < 0 || id >= vocabSize) {
      throw invalidOption('logitBias', `keyed by token ids from 0 to ${vocabSize - 1}`, key);
    }
    if (typeof bias !== 'number' || Number.isNaN(bias) || bias === Number.POSITIVE_INFINITY) {
      throw invalidOption(`logitBias[${id}]`, 'a finite number or -Infinity', bias);
    }
    return [id, bias] as const;
  });
}

/** Refuses what is neither `undefined` nor a function. Throws `INVALID_OPTION`. */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') throw invalidOption(name, 'a function', value);
}

/** Refuses what is neither `undefined` nor an AbortSignal (of any realm). Throws `INVALID_OPTION`. */
export function checkSignal(value: unknown): void {
  const { throwIfAborted } = Object(value) as Partial<AbortSignal>;
  if (value !== undefined && typeof throwIfAborted !== 'function') {
    throw invalidOption('signal', 'an AbortSignal', value);
  }
}

/** Checks the sampler's part of `options` and fills in the defaults; other keys are the caller's to check. */
export function resolveSamplerOptions(options: SamplerOptions, vocabSize: number): ResolvedSamplerOptions {
  const repetitionPenalty = between(
    'repetitionPenalty',
    options.repetitionPenalty,
    1,
    Number.MIN_VALUE,
    Number.POSITIVE_INFINITY,
  );
  return {
    temperature: between('temperature', options.temperature, 0, 0, Number.POSITIVE_INFINITY),
    topK: integerOption('topK', options.topK, 0, 0),
    topP: between('topP', options.topP, 1, 0, 1),
    minP: between('minP', options.minP, 0, 0, 1),
    repetitionPenalty,
    frequencyPenalty: between('frequencyPenalty', options.frequencyPenalty, 0, -2, 2),
    presencePenalty: between('presencePenalty', options.presencePenalty, 0, -2, 2),
    logitBias: biasEntries(options.logitBias, vocabSize),
    seed: integerOption('seed', options.seed, 0, 0),
  };
}

/** Copies token ids, each checked to be an integer from 0 to vocabSize - 1. Throws `TOKEN_ID` or `INVALID_OPTION`. */
export function checkIds(ids: ArrayLike<number>, vocabSize: number, what: string): Int32Array {
  // A DataView is a view too, but it has no length.
  if (!(Array.isArray(ids) || ArrayBuffer.isView(ids)) || ids.length === undefined) {
    throw invalidOption(what, 'an array of token ids', ids);
  }
  const out = new Int32Array(ids.length);
  for (let i = 0; i < out.length; i++) {
    const id: unknown = ids[i];
    if (!Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocabSize) {
      throw new MambaError(
        'TOKEN_ID',
        `${what}[${i}] must be a token id from 0 to ${vocabSize - 1}, but is ${describe(id)}; was the text encoded with the tokenizer of another model?`,
        { index: i, id, vocabSize },
      );
    }
    out[i] = id as number;
  }
  return out;
}
