import type { ModelDefinition } from '@mamba-ts/layers';
import { listParameters } from '@mamba-ts/layers';
import { type LowRankUpdate, weightSample } from '@mamba-ts/loaders';
import { MambaError, matrix, type Ops, type ParameterSpec, type Weight } from '@mamba-ts/tensor';
import type { ParameterValues } from './model.ts';
import type { Tape } from './tape.ts';

/** Low-rank updates (LoRA, Hu et al. 2021): W + alpha / rank B A in place of W, with A `[rank, inputs]`, B `[outputs, rank]`. */
export interface LoraOptions {
  readonly rank: number;
  readonly alpha: number;
  /** Ends of the names of the layers: `in_proj`. */
  readonly targets: readonly string[];
}

/** The projections of every architecture, of which a model has some. */
export const LORA_TARGETS: readonly string[] = [
  ...['in_proj', 'x_proj', 'dt_proj', 'out_proj'],
  ...['query_key_value', 'dense'],
  ...['q_proj', 'k_proj', 'v_proj', 'o_proj'],
];

/** One matrix with its update. */
export interface LoraPair {
  /** The name of W. */
  readonly target: string;
  readonly a: ParameterSpec;
  /** Its map is the factor alpha / rank: as used it is alpha / rank B. */
  readonly b: ParameterSpec;
}

/** The weights of updates by the weight that they are added to; `b` with the factor in it. */
export type LowRankWeights = ReadonlyMap<Weight, { readonly a: Weight; readonly b: Weight }>;

const layerOf = (weight: string): string => weight.replace(/\.weight$/, '');
const isNamed = (weight: string, target: string): boolean => `.${layerOf(weight)}`.endsWith(`.${target}`);

/** The matrices of a model that products take, embedding and head aside: those that can have an update. */
function projections({ parameters, embedding, head }: ModelDefinition): ParameterSpec[] {
  // The specs stand for the weights: who only looks up what the embedding is does not see the difference.
  const ends = new Set<unknown>([embedding(parameters as never), head(parameters as never)]);
  return listParameters(parameters).filter((spec) => spec.role === 'matrix' && !ends.has(spec));
}

/** Those of `LORA_TARGETS` that a model has. */
export function defaultTargets(definition: ModelDefinition): string[] {
  const layers = projections(definition);
  return LORA_TARGETS.filter((target) => layers.some(({ name }) => isNamed(name, target)));
}

/**
 * The updates of a model, in the order of its parameters. They start as PEFT's: A as U(+-1 / sqrt(inputs)), B as zeros.
 * Throws `LORA_TARGET` for a target that no layer is called, `ARGUMENT` for a rank below 1.
 */
export function loraPairs(definition: ModelDefinition, { rank, alpha, targets }: LoraOptions): LoraPair[] {
  if (!Number.isSafeInteger(rank) || rank < 1 || !Number.isFinite(alpha)) {
    throw new MambaError('ARGUMENT', `an update has a rank of 1 or more and a number alpha, not ${rank} and ${alpha}`);
  }
  const layers = projections(definition);
  for (const target of targets) {
    if (layers.some(({ name }) => isNamed(name, target))) continue;
    const known = [...new Set(layers.map(({ name }) => layerOf(name).split('.').at(-1)))];
    throw new MambaError('LORA_TARGET', `no layer of this model is called "${target}"; there are ${known.join(', ')}`, {
      target,
      known,
    });
  }
  const factor = alpha / rank;
  return layers
    .filter(({ name }) => targets.some((target) => isNamed(name, target)))
    .map(({ name, shape }) => {
      const [outputs, inputs] = shape as [number, number];
      const b = matrix(`${layerOf(name)}.lora_B.weight`, [outputs, rank], () => 0);
      return {
        target: name,
        a: matrix(`${layerOf(name)}.lora_A.weight`, [rank, inputs]),
        b: { ...b, map: (value) => factor * value, slope: () => factor },
      };
    });
}

/** `ops` of the tape in which a product with an updated weight is `x W^T + (x A^T) B^T`: W itself is not touched. */
export function withLowRank(tape: Tape, updates: LowRankWeights): Ops {
  const { ops } = tape;
  if (updates.size === 0) return ops;
  return {
    ...ops,
    linear(x, w, bias) {
      const y = ops.linear(x, w, bias); // [T, outputs]
      const update = updates.get(w);
      if (!update) return y;
      const inner = ops.linear(x, update.a, null); // [T, rank]
      return tape.sum(y, ops.linear(inner, update.b, null));
    },
  };
}

/** Trained values as an adapter has them, with what tells their base from another. */
export function lowRankUpdates(
  pairs: readonly LoraPair[],
  { rank, alpha }: LoraOptions,
  base: ParameterValues,
  values: ParameterValues,
): Map<string, LowRankUpdate> {
  return new Map(
    pairs.map(({ target, a, b }) => [
      target,
      {
        inputs: a.shape[1]!,
        outputs: b.shape[0]!,
        rank,
        a: values.get(a.name)!,
        b: values.get(b.name)!,
        scale: alpha / rank,
        base: weightSample(base.get(target)!),
      },
    ]),
  );
}
