import {
  MambaError,
  type Ops,
  type ParameterTree,
  type Segment,
  type Tensor,
  type Weight,
  type WeightsOf,
} from '@mamba-ts/tensor';
import { listParameters } from './parameters.ts';
import type { StateLayout } from './state-layout.ts';

/** A parsed config.json, before anything is known about it. */
export type ConfigJson = Readonly<Record<string, unknown>>;

/**
 * One model architecture: one file in architectures/, named after its `model_type`. The registry is generated from
 * that folder, so that adding an architecture means adding a file and a fixture.
 */
export interface Architecture<Config = unknown> {
  /** As config.json's `model_type` says. */
  readonly modelTypes: readonly string[];
  /** Whether a config.json without `model_type` (an original layout) is of this architecture. */
  recognizes(json: ConfigJson): boolean;
  /** All config dialects to one canonical config. Throws `CONFIG` naming the field. */
  parseConfig(json: ConfigJson): Config;
  /** The canonical (Hugging Face) name of a tensor, from any layout's. */
  canonicalName(name: string): string;
  /**
   * The config.json of the Hugging Face layout that says the same, with every field that matters in it. Absent where that
   * layout does not have the architecture. Throws `CONFIG`, also for what that layout cannot say.
   */
  huggingFaceConfig?(json: ConfigJson): ConfigJson;
  /** Whether its recurrence is `selectiveScan` or `ssd`, whose smallest updates can be skipped. */
  readonly skipsUpdates?: boolean;
  /** Parameters, state and the function from ids to hidden states, for one configuration. */
  createModel(config: Config): ModelDefinition;
  /** Published sizes as config.json objects, for benchmarks with random weights. */
  readonly presets: Readonly<Record<string, ConfigJson>>;
}

/**
 * Is shown the inner values of a pass: `layers.3.delta` and the tensor, `[T, width]`, the vector among the weights, or the
 * constants of the layer. A tensor lives until the step ends, so a hook that wants its values calls `backend.read` at
 * once. Which names there are is the mixer's to say (see `mambaMixer`).
 */
export type Observe = (name: string, value: Tensor | Weight | readonly number[]) => void;

/** Shows each of `values` that is there. */
export function showAll(
  observe: Observe,
  values: Readonly<Record<string, Tensor | Weight | readonly number[] | null>>,
): void {
  for (const [name, value] of Object.entries(values)) if (value) observe(name, value);
}

/** The same hook, its names behind `prefix` and a dot. */
export function under(prefix: string, observe: Observe | undefined): Observe | undefined {
  return observe && ((name, value) => observe(`${prefix}.${name}`, value));
}

/** A model as data and one function; weights, states and the backend are passed in. */
export interface ModelDefinition<P extends ParameterTree = ParameterTree> {
  /** As config.json names it, such as `mamba`. */
  readonly modelType: string;
  /** Ids 0..vocabSize-1 exist. */
  readonly vocabSize: number;
  /** Ids that end a text; may be none. */
  readonly eosTokenIds: readonly number[];
  /** The id that begins a text, or null. */
  readonly bosTokenId: number | null;
  /** The most tokens that a sequence may have; null for no limit. */
  readonly contextLength: number | null;
  /** What it needs, in the nesting that `hidden` takes. */
  readonly parameters: P;
  /** How the state of one sequence lies in a slot. */
  readonly state: StateLayout;
  /**
   * The hidden states from which the head makes logits: embedding, blocks, final norm. ids `[T]` -> `[T, d_model]`;
   * the states in `segments` advance. Inner values are shown to `observe`; without it nothing is spent on them.
   */
  hidden(
    ops: Ops,
    weights: WeightsOf<P>,
    ids: Int32Array,
    segments: readonly Segment[],
    observe?: Observe | undefined,
  ): Tensor;
  /**
   * Floating-point operations outside the matrices to read a text of `length` tokens: convolution, scan or attention.
   * An exponential counts as one.
   */
  sequenceOperations(length: number): number;
  /** The matrix of the token embedding. */
  embedding(weights: WeightsOf<P>): Weight;
  /** The matrix of the language model head; the embedding where tied. */
  head(weights: WeightsOf<P>): Weight;
}

/** f32 elements of the state of one sequence: 4 GiB, all that a WebAssembly memory can hold. */
const MOST_STATE = 2 ** 30;

/**
 * Keeps the parameter tree's type through a literal, and checks what a config's sizes multiply to: each may be in range
 * and their product not. Throws `CONFIG`.
 */
export function defineModel<const P extends ParameterTree>(definition: ModelDefinition<P>): ModelDefinition {
  let all = 0;
  for (const { name, shape } of listParameters(definition.parameters)) {
    all += shape.reduce((product, axis) => product * axis, 1);
    if (!shape.every(Number.isSafeInteger) || all > Number.MAX_SAFE_INTEGER) {
      throw new MambaError(
        'CONFIG',
        `config.json asks for a tensor "${name}" of shape [${shape}]: with it the model has more parameters than any file ` +
          'can hold. Is it the right file?',
        { tensor: name, shape },
      );
    }
  }
  if (definition.state.length > MOST_STATE) {
    throw new MambaError(
      'CONFIG',
      `config.json asks for a state of ${definition.state.length} numbers per sequence; at most ${MOST_STATE} are possible`,
      { found: definition.state.length, limit: MOST_STATE },
    );
  }
  return definition as unknown as ModelDefinition;
}
