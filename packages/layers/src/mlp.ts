import { matrix, vector } from '@mamba-ts/tensor';
import { type Block, block } from './stack.ts';

/** GPT-NeoX: `down(gelu(up(x)))`, with biases. 8 operations per inner value are counted for gelu. */
export function geluMlp(dModel: number, dIntermediate: number, form: 'erf' | 'tanh', prefix: string): Block {
  const parameters = {
    up: matrix(`${prefix}.dense_h_to_4h.weight`, [dIntermediate, dModel]),
    upBias: vector(`${prefix}.dense_h_to_4h.bias`, [dIntermediate]),
    down: matrix(`${prefix}.dense_4h_to_h.weight`, [dModel, dIntermediate]),
    downBias: vector(`${prefix}.dense_4h_to_h.bias`, [dModel]),
  };
  return block(
    parameters,
    (ops, w, x) => ops.linear(ops.gelu(ops.linear(x, w.up, w.upBias), form), w.down, w.downBias),
    (length) => 8 * length * dIntermediate,
  );
}

/** Llama: `down(up(x) silu(gate(x)))` (SwiGLU, Shazeer 2020). 5 operations per inner value are counted for the gate. */
export function swiGluMlp(dModel: number, dIntermediate: number, bias: boolean, prefix: string): Block {
  const biasOf = (name: string, width: number) => (bias ? vector(`${prefix}.${name}.bias`, [width]) : null);
  const parameters = {
    gate: matrix(`${prefix}.gate_proj.weight`, [dIntermediate, dModel]),
    gateBias: biasOf('gate_proj', dIntermediate),
    up: matrix(`${prefix}.up_proj.weight`, [dIntermediate, dModel]),
    upBias: biasOf('up_proj', dIntermediate),
    down: matrix(`${prefix}.down_proj.weight`, [dModel, dIntermediate]),
    downBias: biasOf('down_proj', dModel),
  };
  return block(
    parameters,
    (ops, w, x) => {
      const gated = ops.siluGate(ops.linear(x, w.up, w.upBias), ops.linear(x, w.gate, w.gateBias)); // [T, dIntermediate]
      return ops.linear(gated, w.down, w.downBias); // [T, dModel]
    },
    (length) => 5 * length * dIntermediate,
  );
}
