import {
  type Initializer,
  matrix,
  type Ops,
  type ParameterSpec,
  type Segment,
  type StateField,
  split,
  type Tensor,
  vector,
  type WeightsOf,
} from '@mamba-ts/tensor';
import { type Observe, showAll } from './architecture.ts';
import { inverseSoftplusOfStep, negExp } from './initial-values.ts';
import { type Block, block } from './stack.ts';
import type { StateLayoutBuilder } from './state-layout.ts';

/**
 * The Mamba-1 mixer (Gu & Dao 2023, section 3.4; state-spaces/mamba modules/mamba_simple.py).
 *
 * Glossary, paper -> here: E D -> dInner, N -> dState, K -> dConv, R -> dtRank; delta, A, B, C, D keep their letters;
 * x -> u (the scan's input), z -> gate.
 */
export interface MambaMixerConfig {
  /** Width of the residual stream. */
  readonly dModel: number;
  /** Channels of the convolution and the scan: expand * dModel. */
  readonly dInner: number;
  /** Numbers of state per channel. */
  readonly dState: number;
  /** Taps of the convolution. */
  readonly dConv: number;
  /** Width of delta before dt_proj. */
  readonly dtRank: number;
  /** Biases of in_proj and out_proj. */
  readonly bias: boolean;
  /** A bias of the convolution. */
  readonly convBias: boolean;
  /** Epsilon of a norm without weight on each of delta, B and C (FalconMamba), or null for none. */
  readonly selectionNormEps: number | null;
  /**
   * Whether delta, B and C are chosen by the input. Without, they are learned constants of the layer: a linear
   * time-invariant SSM as S4 is (Gu, Goel & Re 2022), in the same block.
   */
  readonly selective: boolean;
}

/** A type alias, not an interface, so that it is a `ParameterTree`. */
export type MambaMixerParameters = {
  /** `[2 dInner, dModel]`: x, then the gate z. */
  readonly inProj: ParameterSpec;
  /** `[2 dInner]`. */
  readonly inProjBias: ParameterSpec | null;
  /** `[dInner, dConv]`. */
  readonly conv: ParameterSpec;
  /** `[dInner]`. */
  readonly convBias: ParameterSpec | null;
  /** `[dtRank + 2 dState, dInner]`: delta, B, C; without selection `[1, dtRank + 2 dState]`, themselves. */
  readonly xProj: ParameterSpec;
  /** `[dInner, dtRank]`. */
  readonly dtProj: ParameterSpec;
  /** `[dInner]`, added before softplus. */
  readonly dtBias: ParameterSpec;
  /** `[dInner, dState]`, -exp of A_log. */
  readonly A: ParameterSpec;
  /** `[dInner]`. */
  readonly D: ParameterSpec;
  /** `[dModel, dInner]`. */
  readonly outProj: ParameterSpec;
  /** `[dModel]`. */
  readonly outProjBias: ParameterSpec | null;
};

/** The parameters of one mixer, under their canonical (Hugging Face) names: `<prefix>.in_proj.weight`, ... */
export function mambaMixerParameters(c: MambaMixerConfig, prefix: string): MambaMixerParameters {
  return {
    inProj: matrix(`${prefix}.in_proj.weight`, [2 * c.dInner, c.dModel]),
    inProjBias: c.bias ? vector(`${prefix}.in_proj.bias`, [2 * c.dInner]) : null,
    conv: vector(`${prefix}.conv1d.weight`, [c.dInner, c.dConv], {
      init: (_, uniform) => (2 * uniform() - 1) / Math.sqrt(c.dConv),
    }),
    convBias: c.convBias ? vector(`${prefix}.conv1d.bias`, [c.dInner]) : null,
    xProj: c.selective
      ? matrix(`${prefix}.x_proj.weight`, [c.dtRank + 2 * c.dState, c.dInner])
      : matrix(`${prefix}.x_proj.bias`, [1, c.dtRank + 2 * c.dState], constantSelection(c)),
    dtProj: matrix(
      `${prefix}.dt_proj.weight`,
      [c.dInner, c.dtRank],
      (_, uniform) => (2 * uniform() - 1) / Math.sqrt(c.dtRank),
    ),
    dtBias: vector(`${prefix}.dt_proj.bias`, [c.dInner], { init: (_, uniform) => inverseSoftplusOfStep(uniform) }),
    A: vector(`${prefix}.A_log`, [c.dInner, c.dState], {
      map: negExp,
      slope: negExp,
      init: (index) => Math.log((index % c.dState) + 1),
    }),
    D: vector(`${prefix}.D`, [c.dInner], { init: () => 1 }),
    outProj: matrix(`${prefix}.out_proj.weight`, [c.dModel, c.dInner]),
    outProjBias: c.bias ? vector(`${prefix}.out_proj.bias`, [c.dModel]) : null,
  };
}

/** As S4D begins (Gu et al. 2022): delta as its bias says, B = 1, C of unit variance. */
function constantSelection({ dtRank, dState }: MambaMixerConfig): Initializer {
  return (index, uniform) => {
    if (index < dtRank) return 0;
    return index < dtRank + dState ? 1 : Math.sqrt(3) * (2 * uniform() - 1);
  };
}

/** One layer's recurrent state. */
export interface MambaMixerState {
  /** The last K-1 inputs of the convolution, `[dInner, dConv - 1]`. */
  readonly conv: StateField;
  /** h, `[dInner, dState]`. */
  readonly ssm: StateField;
}

/** The fields of one mixer's state: what the convolution and the scan remember. */
export function mambaMixerState(c: MambaMixerConfig, layout: StateLayoutBuilder, prefix: string): MambaMixerState {
  return {
    conv: layout.add(`${prefix}.conv`, [c.dInner, c.dConv - 1]),
    ssm: layout.add(`${prefix}.ssm`, [c.dInner, c.dState]),
  };
}

/**
 * Operations of convolution and scan per token: a multiply-add per tap, and per state element the decay (product,
 * exponential), the update (product, product, sum) and the output (product, sum).
 */
export function mambaMixerOperations(c: MambaMixerConfig): number {
  return c.dInner * (2 * c.dConv + 7 * c.dState);
}

/**
 * x `[T, dModel]` -> `[T, dModel]`; any T >= 1: prefill and decode are this one function.
 *
 * It shows to `observe` the scan's inputs and its output: `u`, `delta` (as projected: before its bias and softplus),
 * `gate` (before silu), `y` (after skip and gate) `[T, dInner]`, and `B`, `C` `[T, dState]`; and of its weights `A`
 * `[dInner, dState]`, `D` and `deltaBias` `[dInner]`.
 */
export function mambaMixer(
  ops: Ops,
  w: WeightsOf<MambaMixerParameters>,
  c: MambaMixerConfig,
  x: Tensor,
  state: MambaMixerState,
  segments: readonly Segment[],
  observe?: Observe,
): Tensor {
  const xz = ops.linear(x, w.inProj, w.inProjBias); // [T, 2 dInner]
  const [projected, gate] = split(xz, [c.dInner, c.dInner]); // [T, dInner] each
  const u = ops.causalConv1d(projected, w.conv, w.convBias, 'silu', state.conv, segments); // [T, dInner]
  const selection = c.selective
    ? ops.linear(u, w.xProj, null) // [T, dtRank + 2 dState]
    : ops.embedding(new Int32Array(x.shape[0]!), w.xProj); // the same row for every token
  const eps = c.selectionNormEps;
  const [dt, B, C] = split(selection, [c.dtRank, c.dState, c.dState]).map((part) =>
    eps === null ? part : ops.rmsNorm(part, null, eps),
  ) as [Tensor, Tensor, Tensor];
  const delta = ops.linear(dt, w.dtProj, null); // [T, dInner]; its bias is added inside the scan, once
  const y = ops.selectiveScan(u, delta, w.A, B, C, w.D, gate, w.dtBias, true, state.ssm, segments); // [T, dInner]
  if (observe) showAll(observe, { u, delta, B, C, gate, y, A: w.A, D: w.D, deltaBias: w.dtBias });
  return ops.linear(y, w.outProj, w.outProjBias); // [T, dModel]
}

/** The mixer as a block of a stack, its state laid out under `at`. */
export function mambaMixerBlock(c: MambaMixerConfig, prefix: string, layout: StateLayoutBuilder, at: string): Block {
  const state = mambaMixerState(c, layout, at);
  return block(
    mambaMixerParameters(c, prefix),
    (ops, w, x, segments, observe) => mambaMixer(ops, w, c, x, state, segments, observe),
    (length) => length * mambaMixerOperations(c),
  );
}
