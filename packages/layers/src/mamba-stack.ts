import type { ModelDefinition } from './architecture.ts';
import { gatedMlp } from './gated-mlp.ts';
import { type Block, mambaEnds, preNorm, stackedModel } from './stack.ts';
import type { StackConfig } from './stack-config.ts';
import { StateLayoutBuilder } from './state-layout.ts';

/**
 * A stack of one kind of mixer in the names of state-spaces/mamba (modules/block.py): each layer is
 * `x + mixer(norm(x))`, and where the config has a gated MLP, `x + mlp(norm2(x))` after it. `mixer` makes that of layer i
 * from the prefix of its parameters, and lays its state out under `layers.i`. `embedding` names the matrix of the embedding
 * where it is not that of the Hugging Face layout.
 */
export function mambaStack(
  modelType: string,
  c: StackConfig,
  mixer: (prefix: string, layout: StateLayoutBuilder, state: string) => Block,
  embedding?: string,
): ModelDefinition {
  const layout = new StateLayoutBuilder();
  const layers = Array.from({ length: c.nLayer }, (_, i) => {
    const prefix = `backbone.layers.${i}`;
    const mixed = preNorm(`${prefix}.norm.weight`, c, mixer(`${prefix}.mixer`, layout, `layers.${i}`));
    if (c.dIntermediate === 0) return [mixed];
    const mlp = gatedMlp(c.dModel, c.dIntermediate, `${prefix}.mlp`);
    return [mixed, preNorm(`${prefix}.norm2.weight`, c, mlp)];
  });
  return stackedModel(modelType, c, layout, layers, mambaEnds(c, embedding));
}
