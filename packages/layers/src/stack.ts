import {
  matrix,
  type Ops,
  type ParameterTree,
  type Segment,
  type Tensor,
  vector,
  type Weight,
  type WeightsOf,
} from '@mamba-ts/tensor';
import { defineModel, type ModelDefinition, type Observe, under } from './architecture.ts';
import type { StackConfig } from './stack-config.ts';
import type { StateLayout } from './state-layout.ts';

/** What a block computes: x `[T, C]` -> `[T, C]`; the states in `segments` advance. */
export type BlockForward<P extends ParameterTree> = (
  ops: Ops,
  weights: WeightsOf<P>,
  x: Tensor,
  segments: readonly Segment[],
  observe?: Observe | undefined,
) => Tensor;

/**
 * A piece of a stack: its parameters and one function. Where it has a state, the function holds the fields, so that
 * blocks of any kinds stand in one stack, each with its own state or none.
 */
export interface Block {
  readonly parameters: ParameterTree;
  readonly forward: BlockForward<never>;
  /** Operations outside the matrices to read `length` tokens, as `ModelDefinition.sequenceOperations` counts them. */
  readonly operations: (length: number) => number;
}

/** Keeps the parameter tree's type through a literal. */
export function block<const P extends ParameterTree>(
  parameters: P,
  forward: BlockForward<P>,
  operations: (length: number) => number = () => 0,
): Block {
  return { parameters, forward: forward as BlockForward<never>, operations };
}

/** RMSNorm over the width; `name` is its weight's. */
export function rmsNorm(name: string, c: Pick<StackConfig, 'dModel' | 'normEps'>): Block {
  const parameters = { weight: vector(name, [c.dModel], { init: () => 1 }) };
  return block(parameters, (ops, w, x) => ops.rmsNorm(x, w.weight, c.normEps));
}

/** LayerNorm over the width, with weight and bias behind `prefix`. */
export function layerNorm(prefix: string, c: Pick<StackConfig, 'dModel' | 'normEps'>): Block {
  const parameters = {
    weight: vector(`${prefix}.weight`, [c.dModel], { init: () => 1 }),
    bias: vector(`${prefix}.bias`, [c.dModel]),
  };
  return block(parameters, (ops, w, x) => ops.layerNorm(x, w.weight, w.bias, c.normEps));
}

/** One block after another. */
function chain(first: Block, second: Block): Block {
  const parameters = { first: first.parameters, second: second.parameters };
  const forward: BlockForward<typeof parameters> = (ops, w, x, segments, observe) => {
    const inner = first.forward(ops, w.first as never, x, segments, observe);
    return second.forward(ops, w.second as never, inner, segments, observe);
  };
  return block(parameters, forward, (length) => first.operations(length) + second.operations(length));
}

/** `x + inner(norm(x))`. */
export function residual(norm: Block, inner: Block): Block {
  const branch = chain(norm, inner);
  const forward: BlockForward<never> = (ops, w, x, segments, observe) =>
    ops.add(x, branch.forward(ops, w, x, segments, observe));
  return { ...branch, forward };
}

/** `x + inner(norm(x)) + inner'(norm'(x))`: both branches start from x. */
export function parallelResidual(branches: readonly (readonly [norm: Block, inner: Block])[]): Block {
  const chains = branches.map(([norm, inner]) => chain(norm, inner));
  return block(
    chains.map(({ parameters }) => parameters),
    (ops, w, x, segments, observe) =>
      chains.reduce((sum, { forward }, i) => ops.add(sum, forward(ops, w[i] as never, x, segments, observe)), x),
    (length) => chains.reduce((sum, { operations }) => sum + operations(length), 0),
  );
}

/** `x + inner(rmsNorm(x))`: the pre-norm residual. `name` is the norm's. */
export function preNorm(name: string, c: Pick<StackConfig, 'dModel' | 'normEps'>, inner: Block): Block {
  return residual(rmsNorm(name, c), inner);
}

/** What stands before and behind the layers. */
export interface StackEnds {
  /** Names of the matrices of the embedding and of an untied head. */
  readonly embedding: string;
  readonly head: string;
  readonly finalNorm: Block;
  /** The most tokens of a sequence; null for no limit. */
  readonly contextLength: number | null;
}

/** The ends that Mambas have; `embedding` is the name of its matrix. */
export const mambaEnds = (c: StackConfig, embedding = 'backbone.embeddings.weight'): StackEnds => ({
  embedding,
  head: 'lm_head.weight',
  finalNorm: rmsNorm('backbone.norm_f.weight', c),
  contextLength: null,
});

const normal = (_: number, uniform: () => number): number => 0.02 * Math.sqrt(12) * (uniform() - 0.5);

/**
 * A language model as all are: embedding, layers of blocks one after another, final norm, head (tied to the
 * embedding unless the config says otherwise); `ends` as Mambas have them where left out. Values shown to `observe` are named after the layer, `layers.3.delta`.
 */
export function stackedModel(
  modelType: string,
  c: StackConfig,
  state: StateLayout,
  layers: readonly (readonly Block[])[],
  ends: StackEnds = mambaEnds(c),
): ModelDefinition {
  return defineModel({
    modelType,
    vocabSize: c.vocabSize,
    eosTokenIds: c.eosTokenIds,
    bosTokenId: c.bosTokenId,
    contextLength: ends.contextLength,
    state,
    parameters: {
      embedding: matrix(ends.embedding, [c.paddedVocabSize, c.dModel], normal),
      layers: layers.map((blocks) => blocks.map(({ parameters }) => parameters)),
      finalNorm: ends.finalNorm.parameters,
      head: c.tieEmbeddings ? null : matrix(ends.head, [c.paddedVocabSize, c.dModel]),
    },
    hidden(ops, w, ids, segments, observe) {
      let x = ops.embedding(ids, w.embedding); // [T, dModel]
      for (const [i, blocks] of layers.entries()) {
        const show = under(`layers.${i}`, observe);
        for (const [j, { forward }] of blocks.entries()) {
          x = forward(ops, w.layers[i]![j] as never, x, segments, show);
        }
      }
      return ends.finalNorm.forward(ops, w.finalNorm as never, x, segments);
    },
    sequenceOperations: (length) => layers.flat().reduce((sum, { operations }) => sum + operations(length), 0),
    embedding: (w): Weight => w.embedding,
    head: (w): Weight => w.head ?? w.embedding,
  });
}
