import {
  type Mamba3Form,
  type Mamba3State,
  matrix,
  type ParameterSpec,
  split,
  type Tensor,
  vector,
  type WeightsOf,
} from '@mamba-ts/tensor';
import { showAll } from './architecture.ts';
import { inverseSoftplusOfStep } from './initial-values.ts';
import { type Block, type BlockForward, block } from './stack.ts';
import type { StateLayoutBuilder } from './state-layout.ts';

/**
 * The Mamba-3 mixer (Lahoti et al. 2026; state-spaces/mamba modules/mamba3.py): no convolution, no A_log; the decay, the
 * mixture of the trapezoid rule and the angles are projected from the input.
 *
 * Glossary, paper -> here: H -> heads, P -> headDim, G -> groups, N -> dState, R -> rank, S -> angles; lambda -> trap
 * (before its sigmoid), theta -> angle; dt, B, C, D keep their letters; z -> gate.
 */
export interface Mamba3MixerConfig {
  /** Width of the residual stream. */
  readonly dModel: number;
  /** Each with a step size and a decay of its own. */
  readonly heads: number;
  /** Channels of one head. */
  readonly headDim: number;
  /** Of heads that share B and C. */
  readonly groups: number;
  /** Numbers of state per channel. */
  readonly dState: number;
  /** Angles per head; the projection gives them once for all heads. */
  readonly angles: number;
  /** Ranks of a MIMO layer; null for SISO. */
  readonly rank: number | null;
  /** Whether y is normed per head before the gate. */
  readonly norm: boolean;
  readonly form: Mamba3Form;
  /** Epsilon of the mixer's norms. */
  readonly mixerNormEps: number;
}

/** A type alias, not an interface, so that it is a `ParameterTree`. */
export type Mamba3MixerParameters = {
  readonly inProj: ParameterSpec;
  readonly dtBias: ParameterSpec;
  readonly normB: ParameterSpec;
  readonly normC: ParameterSpec;
  readonly biasB: ParameterSpec;
  readonly biasC: ParameterSpec;
  readonly D: ParameterSpec;
  readonly mimo: { readonly x: ParameterSpec; readonly gate: ParameterSpec; readonly out: ParameterSpec } | null;
  readonly norm: ParameterSpec | null;
  readonly outProj: ParameterSpec;
};

/** Widths of the parts of in_proj: gate, x, B, C, dt, the decay's rate, trap, angle. */
const partsOf = (c: Mamba3MixerConfig): [number, number, number, number, number, number, number, number] => {
  const [inner, selected] = [c.heads * c.headDim, (c.rank ?? 1) * c.groups * c.dState];
  return [inner, inner, selected, selected, c.heads, c.heads, c.heads, c.angles];
};

export function mamba3MixerParameters(c: Mamba3MixerConfig, prefix: string): Mamba3MixerParameters {
  const inner = c.heads * c.headDim;
  const rank = c.rank ?? 1;
  const filled = (name: string, shape: readonly number[], value: number): ParameterSpec =>
    vector(`${prefix}.${name}`, shape, { init: () => value });
  const projection = [c.heads, rank, c.headDim];
  return {
    inProj: matrix(`${prefix}.in_proj.weight`, [partsOf(c).reduce((sum, width) => sum + width, 0), c.dModel]),
    dtBias: vector(`${prefix}.dt_bias`, [c.heads], { init: (_, uniform) => inverseSoftplusOfStep(uniform) }),
    normB: filled('B_norm.weight', [c.dState], 1),
    normC: filled('C_norm.weight', [c.dState], 1),
    biasB: filled('B_bias', [c.heads, rank, c.dState], 1),
    biasC: filled('C_bias', [c.heads, rank, c.dState], 1),
    D: filled('D', [c.heads], 1),
    mimo:
      c.rank === null
        ? null
        : {
            x: filled('mimo_x', projection, 1 / rank),
            gate: filled('mimo_z', projection, 1),
            out: filled('mimo_o', projection, 1 / rank),
          },
    norm: c.norm ? filled('norm.weight', [inner], 1) : null,
    outProj: matrix(`${prefix}.out_proj.weight`, [c.dModel, inner]),
  };
}

export function mamba3MixerState(c: Mamba3MixerConfig, layout: StateLayoutBuilder, prefix: string): Mamba3State {
  return {
    angle: layout.add(`${prefix}.angle`, [c.heads, c.angles]),
    ssm: layout.add(`${prefix}.ssm`, [c.heads, c.headDim, c.dState]),
    k: layout.add(`${prefix}.k`, [c.rank ?? 1, c.heads, c.dState]),
    v: layout.add(`${prefix}.v`, [c.heads, c.headDim]),
  };
}

/**
 * The mixer as a block; any T >= 1: prefill and decode are this one function.
 *
 * It shows to `observe` the recurrence's inputs and its output: `u` `[T, H P]`; `delta` (as projected: before its bias and
 * softplus), `rate` (of the decay, before its activation) and `trap` (before its sigmoid) `[T, H]`; `angle` (before its
 * tanh) `[T, S]`; `B`, `C` (normed, before bias and turn) `[T, R G N]`; `gate` (before silu) `[T, H P]`; and `y` (after
 * the skip, before norm and gate) `[T, R H P]`.
 */
export function mamba3Mixer(c: Mamba3MixerConfig, prefix: string, layout: StateLayoutBuilder, at: string): Block {
  const parts = partsOf(c);
  const state = mamba3MixerState(c, layout, at);
  const parties = (c.rank ?? 1) * c.groups;
  const forward: BlockForward<Mamba3MixerParameters> = (ops, w, x, segments, observe) => {
    const projected = ops.linear(x, w.inProj, null); // [T, sum(parts)]
    const [gate, u, rawB, rawC, delta, rate, trap, angle] = split(projected, parts);
    const B = ops.rmsNorm(rawB, w.normB, c.mixerNormEps, parties); // [T, R G N], each N on its own
    const C = ops.rmsNorm(rawC, w.normC, c.mixerNormEps, parties);
    const y = ops.mamba3Scan(
      { x: u, dt: delta, a: rate, trap, angle, B, C },
      { dtBias: w.dtBias, biasB: w.biasB, biasC: w.biasC, D: w.D, mimoX: w.mimo?.x ?? null },
      c.form,
      state,
      segments,
    ); // [T, R H P]
    if (observe) showAll(observe, { u, delta, rate, trap, angle, B, C, gate, y });
    return ops.linear(gated(ops, w, c, y, gate), w.outProj, null); // [T, dModel]
  };
  const elements = c.heads * c.headDim * c.dState;
  // Per state element: the decay (product), and per rank the update (two products, two sums) and the output (product, sum).
  return block(mamba3MixerParameters(c, prefix), forward, (length) => length * elements * (1 + 6 * (c.rank ?? 1)));
}

/** Norm per head, gate, and the sum over ranks. y `[T, R H P]`, gate `[T, H P]` -> `[T, H P]`. */
function gated(
  ops: Parameters<BlockForward<Mamba3MixerParameters>>[0],
  w: WeightsOf<Mamba3MixerParameters>,
  c: Mamba3MixerConfig,
  y: Tensor,
  gate: Tensor,
): Tensor {
  // The ranks share the weight: it repeats along the columns.
  const normed = w.norm ? ops.rmsNorm(y, w.norm, c.mixerNormEps, (c.rank ?? 1) * c.heads) : y;
  return w.mimo ? ops.mimoGate(normed, gate, w.mimo.gate, w.mimo.out) : ops.siluGate(normed, gate);
}
