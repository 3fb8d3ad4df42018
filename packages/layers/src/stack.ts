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

/** `x + inner(rmsNorm(x))`: the pre-norm residual. `name` is the norm's. */
export function preNorm(name: string, c: Pick<StackConfig, 'dModel' | 'normEps'>, inner: Block): Block {
  const parameters = { norm: vector(name, [c.dModel], { init: () => 1 }), inner: inner.parameters };
  const forward: BlockForward<typeof parameters> = (ops, w, x, segments, observe) => {
    const normed = ops.rmsNorm(x, w.norm, c.normEps);
    return ops.add(x, inner.forward(ops, w.inner as never, normed, segments, observe));
  };
  return block(parameters, forward, inner.operations);
}

const normal = (_: number, uniform: () => number): number => 0.02 * Math.sqrt(12) * (uniform() - 0.5);

/**
 * A language model as all Mambas are: embedding, layers of blocks one after another, final norm, head (tied to the
 * embedding unless the config says otherwise). Values shown to `observe` are named after the layer, `layers.3.delta`.
 */
export function stackedModel(
  modelType: string,
  c: StackConfig,
  state: StateLayout,
  layers: readonly (readonly Block[])[],
): ModelDefinition {
  return defineModel({
    modelType,
    vocabSize: c.vocabSize,
    eosTokenIds: c.eosTokenIds,
    bosTokenId: c.bosTokenId,
    state,
    parameters: {
      embedding: matrix('backbone.embeddings.weight', [c.paddedVocabSize, c.dModel], normal),
      layers: layers.map((blocks) => blocks.map(({ parameters }) => parameters)),
      finalNorm: vector('backbone.norm_f.weight', [c.dModel], { init: () => 1 }),
      head: c.tieEmbeddings ? null : matrix('lm_head.weight', [c.paddedVocabSize, c.dModel]),
    },
    hidden(ops, w, ids, segments, observe) {
      let x = ops.embedding(ids, w.embedding); // [T, dModel]
      for (const [i, blocks] of layers.entries()) {
        const show = under(`layers.${i}`, observe);
        for (const [j, { forward }] of blocks.entries()) {
          x = forward(ops, w.layers[i]![j] as never, x, segments, show);
        }
      }
      return ops.rmsNorm(x, w.finalNorm, c.normEps);
    },
    sequenceOperations: (length) => layers.flat().reduce((sum, { operations }) => sum + operations(length), 0),
    embedding: (w): Weight => w.embedding,
    head: (w): Weight => w.head ?? w.embedding,
  });
}
