import { matrix, split } from '@mamba-ts/tensor';
import { type Block, block } from './stack.ts';

/**
 * The gated MLP of state-spaces/mamba (modules/mlp.py; SwiGLU, Shazeer 2020): `fc2(y silu(gate))`, where y is the first
 * half of `fc1(x)` and the gate its second. No biases.
 */
export function gatedMlp(dModel: number, dIntermediate: number, prefix: string): Block {
  const parameters = {
    fc1: matrix(`${prefix}.fc1.weight`, [2 * dIntermediate, dModel]),
    fc2: matrix(`${prefix}.fc2.weight`, [dModel, dIntermediate]),
  };
  return block(parameters, (ops, w, x) => {
    const [y, gate] = split(ops.linear(x, w.fc1, null), [dIntermediate, dIntermediate]); // [T, dIntermediate] each
    return ops.linear(ops.siluGate(y, gate), w.fc2, null); // [T, dModel]
  });
}
