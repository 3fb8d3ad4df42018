import type { TokenMeasures } from './measures.ts';

/** A token of the text that was looked at. */
export interface InspectedToken {
  readonly id: number;
  /** Its part of the text; empty where its bytes only begin a character. */
  readonly text: string;
}

export interface InspectedLayer extends TokenMeasures {
  readonly layer: number;
  /** The same layer on the same input without selection: delta, B and C held at their means. */
  readonly time_invariant: TokenMeasures;
}

/** How much token s contributes to the output at token t: see `hiddenAttention`. */
export interface InspectedAttention {
  readonly layer: number;
  /** First and last channel of the group. */
  readonly channels: readonly [from: number, to: number];
  /** Mean of |alpha[t][s]| over the channels; 0 where s > t. */
  readonly matrix: readonly (readonly number[])[];
  /** Largest absolute difference between the y of these channels and what hidden attention makes of their inputs. */
  readonly max_error: number;
  /** max - min of that y. */
  readonly y_range: number;
  readonly time_invariant: { readonly matrix: readonly (readonly number[])[] };
}

/** What `inspect` returns, and `mamba inspect --json` prints. */
export interface InspectReport {
  readonly model: string;
  readonly architecture: string;
  readonly tokens: readonly InspectedToken[];
  readonly layers: readonly InspectedLayer[];
  readonly attention: InspectedAttention;
}
