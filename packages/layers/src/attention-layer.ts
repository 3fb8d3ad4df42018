import {
  type CacheField,
  matrix,
  type Ops,
  type ParameterSpec,
  reshape,
  type Segment,
  split,
  type Tensor,
  vector,
} from '@mamba-ts/tensor';
import { type Block, block } from './stack.ts';
import type { StateLayoutBuilder } from './state-layout.ts';

/**
 * Causal self-attention with rotary positions (Vaswani et al. 2017; Su et al. 2021).
 *
 * `heads` query heads share `keyHeads` heads of keys and values, `headDim` wide each (grouped queries, Ainslie et al. 2023).
 */
export interface AttentionConfig {
  /** Width of the residual stream. */
  readonly dModel: number;
  /** Of queries. */
  readonly heads: number;
  /** Of keys and values; `heads` is a multiple. */
  readonly keyHeads: number;
  /** Channels of one head. */
  readonly headDim: number;
  /** Of the projections. */
  readonly attentionBias: boolean;
  /** Radians per token by which pairs of columns turn: see `ropeFrequencies`. */
  readonly frequencies: Float64Array;
}

const bias = (c: AttentionConfig, name: string, width: number): ParameterSpec | null =>
  c.attentionBias ? vector(name, [width]) : null;

/** q `[T heads, headDim]`, k and v `[T keyHeads, headDim]` -> `[T, heads headDim]`: positions, cache and softmax. */
function attend(
  ops: Ops,
  c: AttentionConfig,
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  cache: CacheField,
  segments: readonly Segment[],
): Tensor {
  const turnedQ = ops.rope(q, c.frequencies, 'halves', segments);
  const turnedK = ops.rope(k, c.frequencies, 'halves', segments);
  const y = ops.attention(turnedQ, turnedK, v, 1 / Math.sqrt(c.headDim), cache, segments); // [T heads, headDim]
  return reshape(y, y.shape[0] / c.heads, c.heads * c.headDim);
}

/**
 * Operations outside the matrices to read `length` tokens. Per head and pair of a token and one it sees: 2 headDim each for
 * score and sum, and 4 for scale, maximum, exponential and total; per token and turned pair of columns 6; per output a
 * division.
 */
function operations(c: AttentionConfig, length: number): number {
  const pairs = (length * (length + 1)) / 2;
  const turns = 6 * (c.heads + c.keyHeads) * c.frequencies.length;
  return pairs * c.heads * (4 * c.headDim + 4) + length * (turns + c.heads * c.headDim);
}

/** GPT-NeoX: one projection, in which each head has its query, key and value side by side. heads = keyHeads. */
export function fusedAttention(c: AttentionConfig, prefix: string, layout: StateLayoutBuilder, state: string): Block {
  const { dModel, heads, headDim } = c;
  const cache = layout.addCache(`${state}.attention`, heads, headDim);
  const width = heads * headDim;
  const parameters = {
    qkv: matrix(`${prefix}.query_key_value.weight`, [3 * width, dModel]),
    qkvBias: bias(c, `${prefix}.query_key_value.bias`, 3 * width),
    out: matrix(`${prefix}.dense.weight`, [dModel, width]),
    outBias: bias(c, `${prefix}.dense.bias`, dModel),
  };
  return block(
    parameters,
    (ops, w, x, segments) => {
      const qkv = ops.linear(x, w.qkv, w.qkvBias); // [T, heads 3 headDim]
      const perHead = reshape(qkv, x.shape[0] * heads, 3 * headDim); // [T heads, 3 headDim]
      const y = attend(ops, c, split(perHead, [headDim, headDim, headDim]), cache, segments); // [T, heads headDim]
      return ops.linear(y, w.out, w.outBias); // [T, dModel]
    },
    (length) => operations(c, length),
  );
}

/** Llama: a projection each for queries, keys and values. */
export function groupedAttention(c: AttentionConfig, prefix: string, layout: StateLayoutBuilder, state: string): Block {
  const { dModel, heads, keyHeads, headDim } = c;
  const cache = layout.addCache(`${state}.attention`, keyHeads, headDim);
  const [width, keyWidth] = [heads * headDim, keyHeads * headDim];
  const parameters = {
    q: matrix(`${prefix}.q_proj.weight`, [width, dModel]),
    qBias: bias(c, `${prefix}.q_proj.bias`, width),
    k: matrix(`${prefix}.k_proj.weight`, [keyWidth, dModel]),
    kBias: bias(c, `${prefix}.k_proj.bias`, keyWidth),
    v: matrix(`${prefix}.v_proj.weight`, [keyWidth, dModel]),
    vBias: bias(c, `${prefix}.v_proj.bias`, keyWidth),
    out: matrix(`${prefix}.o_proj.weight`, [dModel, width]),
    outBias: bias(c, `${prefix}.o_proj.bias`, dModel),
  };
  return block(
    parameters,
    (ops, w, x, segments) => {
      const tokens = x.shape[0];
      const q = reshape(ops.linear(x, w.q, w.qBias), tokens * heads, headDim); // [T heads, headDim]
      const k = reshape(ops.linear(x, w.k, w.kBias), tokens * keyHeads, headDim); // [T keyHeads, headDim]
      const v = reshape(ops.linear(x, w.v, w.vBias), tokens * keyHeads, headDim);
      return ops.linear(attend(ops, c, [q, k, v], cache, segments), w.out, w.outBias); // [T, dModel]
    },
    (length) => operations(c, length),
  );
}
