import {
  matrix,
  type ParameterSpec,
  type StateField,
  split,
  type Tensor,
  vector,
  type WeightsOf,
} from '@mamba-ts/tensor';
import { showAll } from './architecture.ts';
import { inverseSoftplusOfStep, negExp } from './initial-values.ts';
import { type Block, type BlockForward, block } from './stack.ts';
import type { StateLayoutBuilder } from './state-layout.ts';

/**
 * The Mamba-2 mixer (Dao & Gu 2024, section 7.1; state-spaces/mamba modules/mamba2.py).
 *
 * Glossary, paper -> here: H -> heads, P -> headDim, G -> groups, N -> dState, K -> dConv; dt, A, B, C, D keep their
 * letters; z -> gate.
 */
export interface Mamba2MixerConfig {
  /** Width of the residual stream. */
  readonly dModel: number;
  /** expand * dModel: columns of out_proj. */
  readonly dInner: number;
  /** The part of dInner that goes through the SSM, heads * headDim; the rest is a gated MLP beside it. */
  readonly dSsm: number;
  /** Each with a step size and a decay of its own. */
  readonly heads: number;
  /** Of heads that share B and C. */
  readonly groups: number;
  /** Numbers of state per channel. */
  readonly dState: number;
  /** Taps of the convolution. */
  readonly dConv: number;
  /** Biases of in_proj and out_proj. */
  readonly bias: boolean;
  /** A bias of the convolution. */
  readonly convBias: boolean;
  /** D has a number per channel instead of one per head. */
  readonly skipPerChannel: boolean;
  /** Clamp of the step size. */
  readonly dtLimit: readonly [low: number, high: number];
  /** `after`: norm(y silu(z)); `before`: norm(y) silu(z); `none`: y silu(z). */
  readonly norm: 'after' | 'before' | 'none';
  /** Epsilon of the mixer's norm. */
  readonly mixerNormEps: number;
}

/** A type alias, not an interface, so that it is a `ParameterTree`. */
export type Mamba2MixerParameters = {
  readonly inProj: ParameterSpec;
  readonly inProjBias: ParameterSpec | null;
  readonly conv: ParameterSpec;
  readonly convBias: ParameterSpec | null;
  readonly dtBias: ParameterSpec;
  readonly A: ParameterSpec;
  readonly D: ParameterSpec;
  readonly norm: ParameterSpec | null;
  readonly outProj: ParameterSpec;
  readonly outProjBias: ParameterSpec | null;
};

/** Widths of the parts of in_proj: MLP gate and input, gate, convolution (x, B, C), dt. */
const partsOf = (c: Mamba2MixerConfig): [number, number, number, number, number] => {
  const dMlp = c.dInner - c.dSsm;
  return [dMlp, dMlp, c.dSsm, c.dSsm + 2 * c.groups * c.dState, c.heads];
};

export function mamba2MixerParameters(c: Mamba2MixerConfig, prefix: string): Mamba2MixerParameters {
  const parts = partsOf(c);
  const projected = parts.reduce((sum, width) => sum + width, 0);
  const convolved = parts[3];
  return {
    inProj: matrix(`${prefix}.in_proj.weight`, [projected, c.dModel]),
    inProjBias: c.bias ? vector(`${prefix}.in_proj.bias`, [projected]) : null,
    conv: vector(`${prefix}.conv1d.weight`, [convolved, c.dConv], {
      init: (_, uniform) => (2 * uniform() - 1) / Math.sqrt(c.dConv),
    }),
    convBias: c.convBias ? vector(`${prefix}.conv1d.bias`, [convolved]) : null,
    dtBias: vector(`${prefix}.dt_bias`, [c.heads], { init: (_, uniform) => inverseSoftplusOfStep(uniform) }),
    A: vector(`${prefix}.A_log`, [c.heads], {
      map: negExp,
      slope: negExp,
      init: (_, uniform) => Math.log(1 + 15 * uniform()),
    }),
    D: vector(`${prefix}.D`, [c.skipPerChannel ? c.dSsm : c.heads], { init: () => 1 }),
    norm: c.norm === 'none' ? null : vector(`${prefix}.norm.weight`, [c.dSsm], { init: () => 1 }),
    outProj: matrix(`${prefix}.out_proj.weight`, [c.dModel, c.dInner]),
    outProjBias: c.bias ? vector(`${prefix}.out_proj.bias`, [c.dModel]) : null,
  };
}

/** One layer's recurrent state. */
export interface Mamba2MixerState {
  /** The last K-1 inputs of the convolution, `[dSsm + 2 G N, dConv - 1]`. */
  readonly conv: StateField;
  /** S, `[heads, headDim, dState]`. */
  readonly ssm: StateField;
}

export function mamba2MixerState(c: Mamba2MixerConfig, layout: StateLayoutBuilder, prefix: string): Mamba2MixerState {
  return {
    conv: layout.add(`${prefix}.conv`, [partsOf(c)[3], c.dConv - 1]),
    ssm: layout.add(`${prefix}.ssm`, [c.heads, c.dSsm / c.heads, c.dState]),
  };
}

/**
 * The mixer as a block; any T >= 1: prefill and decode are this one function.
 *
 * It shows to `observe` the recurrence's inputs and its output: `u` `[T, dSsm]`, `delta` (as projected: before its bias,
 * softplus and limits) `[T, heads]`, `B`, `C` `[T, G N]`, `gate` (before silu) and `y` (after the skip, before norm and
 * gate) `[T, dSsm]`; of its weights `A`, `deltaBias` `[heads]` and `D`; and the constants `groups` and `limits` (of delta).
 */
export function mamba2Mixer(c: Mamba2MixerConfig, prefix: string, layout: StateLayoutBuilder, at: string): Block {
  const parts = partsOf(c);
  const state = mamba2MixerState(c, layout, at);
  const forward: BlockForward<Mamba2MixerParameters> = (ops, w, x, segments, observe) => {
    const projected = ops.linear(x, w.inProj, w.inProjBias); // [T, sum(parts)]
    const [mlpGate, mlpInput, gate, convInput, delta] = split(projected, parts);
    const xBC = ops.causalConv1d(convInput, w.conv, w.convBias, 'silu', state.conv, segments); // [T, dSsm + 2 G N]
    const [u, B, C] = split(xBC, [c.dSsm, c.groups * c.dState, c.groups * c.dState]);
    const y = ops.ssd(u, delta, w.A, B, C, w.D, w.dtBias, c.dtLimit, state.ssm, segments); // [T, dSsm]
    if (observe) {
      const own = { A: w.A, D: w.D, deltaBias: w.dtBias, groups: [c.groups], limits: c.dtLimit };
      showAll(observe, { u, delta, B, C, gate, y, ...own });
    }
    const gated = gatedNorm(ops, w, c, y, gate); // [T, dSsm]
    // [T, dInner]: the MLP's columns come first
    const joined = c.dInner === c.dSsm ? gated : ops.concat(ops.siluGate(mlpInput, mlpGate), gated);
    return ops.linear(joined, w.outProj, w.outProjBias); // [T, dModel]
  };
  return block(mamba2MixerParameters(c, prefix), forward, (length) => length * operationsPerToken(c));
}

/**
 * Of convolution and recurrence: a multiply-add per tap, and per state element the decay (product), the update (product,
 * sum) and the output (product, sum). One exponential per head is not worth counting.
 */
const operationsPerToken = (c: Mamba2MixerConfig): number => 2 * partsOf(c)[3] * c.dConv + 5 * c.dSsm * c.dState;

/** Gate and RMS norm per group, in the order that the config asks for. y, gate `[T, dSsm]` -> `[T, dSsm]`. */
function gatedNorm(
  ops: Parameters<BlockForward<Mamba2MixerParameters>>[0],
  w: WeightsOf<Mamba2MixerParameters>,
  c: Mamba2MixerConfig,
  y: Tensor,
  gate: Tensor,
): Tensor {
  if (c.norm === 'none') return ops.siluGate(y, gate);
  if (c.norm === 'after') return ops.rmsNorm(ops.siluGate(y, gate), w.norm, c.mixerNormEps, c.groups);
  return ops.siluGate(ops.rmsNorm(y, w.norm, c.mixerNormEps, c.groups), gate);
}
