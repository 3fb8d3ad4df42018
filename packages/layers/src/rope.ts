import type { ConfigJson } from './architecture.ts';
import { consistent, object, oneOf, positive, size } from './config.ts';

/** Columns of a head: far beyond any model's, and few enough that their frequencies take no time. */
const MAX_HEAD = 2 ** 14;

/**
 * The frequencies by which rotary embedding turns a head of `headDim` columns, radians per token: `base^(-2 i / R)`, i < R / 2,
 * for the first R = `headDim * partial factor` columns, and then scaled as the config says. Rounded to f32, as transformers
 * has them.
 *
 * Reads `rope_parameters` of transformers 5, or `rope_theta`, `rope_scaling`, `rotary_pct` and `rotary_emb_base` of older
 * files. Scalings: `default`; `linear`: all divided by the factor; `llama3`: long waves divided by the factor, short ones
 * kept, those between mixed; `dynamic`: changes nothing up to max_position_embeddings, past which we refuse to go;
 * `longrope`: each divided by a factor of its own, where these are the same for short and for long texts and nothing but
 * the angles is scaled (as which a GGUF file's rope_freqs are read).
 * Source: transformers modeling_rope_utils.py.
 */
export function ropeFrequencies(json: ConfigJson, headDim: number, partialByDefault: number): Float64Array {
  const parameters = ropeParameters(json, partialByDefault);
  oneOf(parameters, 'rope_type', ['default', 'linear', 'dynamic', 'llama3', 'longrope']);
  consistent(headDim <= MAX_HEAD, `heads of ${headDim} columns are not supported; at most ${MAX_HEAD} are`);
  const base = positive(parameters, 'rope_theta', 10000);
  const partial = positive(parameters, 'partial_rotary_factor', partialByDefault);
  const turned = Math.floor(headDim * partial);
  const pairs = Math.ceil(turned / 2);
  consistent(2 * pairs <= headDim, `${turned} columns to turn do not fit into heads of ${headDim}`);
  const plain = Float64Array.from({ length: pairs }, (_, i) => base ** ((-2 * i) / turned));
  return plain.map(scaling(parameters, json, pairs)).map(Math.fround);
}

/** `rope_parameters` of transformers 5, also of older files: type, base and share are always there. */
export function ropeParameters(json: ConfigJson, partialByDefault: number): ConfigJson {
  const given =
    json.rope_parameters === undefined || json.rope_parameters === null ? 'rope_scaling' : 'rope_parameters';
  const { type, ...parameters } = object(json, given);
  return {
    ...parameters,
    rope_type: parameters.rope_type ?? type ?? 'default',
    rope_theta: parameters.rope_theta ?? json.rope_theta ?? json.rotary_emb_base ?? 10000,
    partial_rotary_factor:
      parameters.partial_rotary_factor ?? json.rotary_pct ?? json.partial_rotary_factor ?? partialByDefault,
  };
}

function scaling(parameters: ConfigJson, json: ConfigJson, pairs: number): (frequency: number, pair: number) => number {
  if (parameters.rope_type === 'linear') {
    const factor = positive(parameters, 'factor', Number.NaN);
    return (frequency) => frequency / factor;
  }
  if (parameters.rope_type === 'longrope') {
    const factors = ownFactors(parameters, pairs);
    return (frequency, pair) => frequency / factors[pair]!;
  }
  if (parameters.rope_type !== 'llama3') return (frequency) => frequency;
  const factor = positive(parameters, 'factor', Number.NaN);
  const low = positive(parameters, 'low_freq_factor', Number.NaN);
  const high = positive(parameters, 'high_freq_factor', Number.NaN);
  consistent(low < high, `low_freq_factor = ${low} is not below high_freq_factor = ${high}`);
  const context = size(parameters, 'original_max_position_embeddings', size(json, 'max_position_embeddings', 2048));
  return (frequency) => {
    // How many waves fit into the original context: few are stretched by the factor, many are kept.
    const waves = (context * frequency) / (2 * Math.PI);
    const kept = Math.min(Math.max((waves - low) / (high - low), 0), 1);
    return ((1 - kept) * frequency) / factor + kept * frequency;
  };
}

function ownFactors(parameters: ConfigJson, pairs: number): readonly number[] {
  const [short, long] = ['short_factor', 'long_factor'].map((field) => {
    const list = parameters[field];
    const sound = Array.isArray(list) && list.length === pairs && list.every((f) => typeof f === 'number' && f > 0);
    consistent(sound, `${field} must be a list of ${pairs} positive numbers`);
    return list as readonly number[];
  }) as [readonly number[], readonly number[]];
  consistent(
    parameters.attention_factor === 1 && short.every((factor, i) => factor === long[i]),
    'longrope with other factors for long texts than for short ones, or without attention_factor = 1, is not supported',
  );
  return short;
}
