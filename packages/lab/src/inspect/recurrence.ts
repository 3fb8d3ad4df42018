import type { Observed } from '@mamba-ts/layers';
import { MambaError, softplus } from '@mamba-ts/tensor';

/**
 * One layer's recurrence over a text in one form for Mamba-1 and Mamba-2, as numbers. H heads of P channels and N states,
 * G groups that share B and C; head h belongs to group g = floor(h / (H / G)), channel c to head floor(c / P):
 *
 *     S[c, n]  = exp(delta[t, h] A[h, n]) S[c, n] + delta[t, h] B[t, g, n] u[t, c]
 *     y[t, c]  = sum_n C[t, g, n] S[c, n] + D[c] u[t, c],   times silu(gate[t, c]) where `gated`
 *
 * Mamba-1: a head per channel (P = 1), one group. Mamba-2: one rate per head for all its states (M = 1).
 */
export interface Recurrence {
  readonly tokens: number;
  readonly heads: number;
  /** P: channels per head. */
  readonly width: number;
  readonly groups: number;
  /** N. */
  readonly states: number;
  /** The step, after bias, softplus and limits, `[T, H]`. */
  readonly delta: Float64Array;
  /** Negative rates, `[H, M]`: M = N, or M = 1 where all states of a head share theirs. */
  readonly A: Float32Array;
  readonly rates: number;
  /** `[T, G N]` each. */
  readonly B: Float32Array;
  readonly C: Float32Array;
  /** The input, `[T, H P]`. */
  readonly u: Float32Array;
  /** The skip, `[H P]`. */
  readonly D: Float32Array;
  /** Before silu, `[T, H P]`. */
  readonly gate: Float32Array;
  /** The output as the layer computed it, `[T, H P]`. */
  readonly y: Float32Array;
  /** Whether `y` is gated already. */
  readonly gated: boolean;
}

/** The group of head `h`. */
export const groupOf = (r: Recurrence, h: number): number => Math.floor(h / (r.heads / r.groups));

/** The numbers of the layers in `observed` that have such a recurrence. */
export function observedLayers(observed: ReadonlyMap<string, Observed>): number[] {
  const found = [...observed.keys()].flatMap((name) => /^layers\.(\d+)\.A$/.exec(name)?.[1] ?? []);
  return found.map(Number).sort((a, b) => a - b);
}

/**
 * What layer `layer` showed, as a recurrence. `A` is `[C, N]` in Mamba-1 and `[H]` in Mamba-2. Throws `INSPECT_MODEL` where
 * something is not shown, `INSPECT_NUMBERS` where a number is not finite.
 */
export function recurrenceOf(observed: ReadonlyMap<string, Observed>, layer: number): Recurrence {
  const get = (name: string): Observed => {
    const value = observed.get(`layers.${layer}.${name}`);
    if (!value) throw new MambaError('INSPECT_MODEL', `layer ${layer} does not show its ${name}`, { layer, name });
    return value;
  };
  const optional = (name: string): Float32Array | null => observed.get(`layers.${layer}.${name}`)?.values ?? null;
  const [A, u, B] = [get('A'), get('u'), get('B')];
  const [tokens, channels] = u.shape as [number, number];
  const heads = A.shape[0]!;
  const width = channels / heads;
  const groups = optional('groups')?.[0] ?? 1;
  const [low, high] = optional('limits') ?? [0, Number.POSITIVE_INFINITY];
  const bias = optional('deltaBias');
  const delta = Float64Array.from(get('delta').values, (value, i) =>
    Math.min(Math.max(softplus(value + (bias?.[i % heads] ?? 0)), low!), high!),
  );
  const skip = optional('D') ?? new Float32Array(channels);
  return finite(layer, {
    tokens,
    heads,
    width,
    groups,
    states: B.shape[1]! / groups,
    delta,
    A: A.values,
    rates: A.shape[1] ?? 1,
    B: B.values,
    C: get('C').values,
    u: u.values,
    // One number per head, or one per channel.
    D: Float32Array.from({ length: channels }, (_, c) => skip[skip.length === channels ? c : Math.floor(c / width)]!),
    gate: get('gate').values,
    y: get('y').values,
    gated: A.shape.length === 2,
  });
}

/** A damaged checkpoint computes infinities and NaNs, of which nothing can be told. Throws `INSPECT_NUMBERS`. */
function finite(layer: number, r: Recurrence): Recurrence {
  const { delta, A, B, C, u, D, gate, y } = r;
  for (const [name, values] of Object.entries({ delta, A, B, C, u, D, gate, y })) {
    if (values.every((value) => Number.isFinite(value))) continue;
    throw new MambaError(
      'INSPECT_NUMBERS',
      `${name} of layer ${layer} is not finite everywhere: the weights may be damaged, download the checkpoint again`,
      { layer, name },
    );
  }
  return r;
}

/**
 * The same layer without selection: delta, B and C held at their means over the text, so that every token is treated
 * alike, as in a linear time-invariant SSM (S4). Its input is the same.
 */
export function timeInvariant(r: Recurrence): Recurrence {
  return { ...r, delta: held(r.delta, r.tokens), B: held(r.B, r.tokens), C: held(r.C, r.tokens) };
}

/** Every row replaced by the mean of all. */
function held<A extends Float32Array | Float64Array>(values: A, rows: number): A {
  const columns = values.length / rows;
  const mean = new Float64Array(columns);
  for (let i = 0; i < values.length; i++) mean[i % columns]! += values[i]! / rows;
  return values.map((_, i) => mean[i % columns]!) as A;
}
