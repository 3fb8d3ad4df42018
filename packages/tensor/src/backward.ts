import type { Backend, CacheField, Mamba3Form, Mamba3State, Ops, Segment, Slot, StateField } from './backend.ts';
import type { Tensor } from './tensor.ts';
import type { Weight } from './weights.ts';

/**
 * A segment of a pass whose gradient is wanted. `slot` holds the state as it was before the pass and is not changed.
 */
export interface BackwardSegment extends Segment {
  /**
   * A slot of the same layout, the same for all segments of one sequence. On entry it holds the gradient to the state that
   * the pass left (zeros, where the loss does not see it), afterwards that to the state that the pass found. For
   * `attention` it has as many rows reserved as the pass filled.
   */
  readonly gradient: Slot;
}

/** Where the gradients to inputs are added; null where one is not wanted. */
type Wanted<Names extends string> = Readonly<Record<Names, Tensor | null>>;

/**
 * The backward pass of each op of {@link Ops}, beside it in the reference. Arguments are those of the op, then `dy`, the
 * gradient to its result, then where the gradients to its inputs go. Everything is added to what is there: to the tensors
 * given, and for a weight to the gradient that the backend keeps of it (see {@link TrainingBackend.trackGradient}). What
 * an op computed on the way it computes again; recurrences compute their states again chunk by chunk.
 */
export interface BackwardOps {
  /** Of {@link Ops.linear}: `dx += dy w`, `dw += dy^T x`, `dbias += sum_t dy[t]`. dy `[T, O]`. */
  linearBackward(x: Tensor, w: Weight, bias: Weight | null, dy: Tensor, dx: Tensor | null): void;

  /** Of {@link Ops.embedding}: `dw[ids[t]] += dy[t]`. dy `[T, C]`. */
  embeddingBackward(ids: Int32Array, w: Weight, dy: Tensor): void;

  /** Of {@link Ops.rmsNorm}. dy `[T, C]`. */
  rmsNormBackward(x: Tensor, w: Weight | null, eps: number, groups: number, dy: Tensor, dx: Tensor | null): void;

  /** Of {@link Ops.layerNorm}. dy `[T, C]`. */
  layerNormBackward(x: Tensor, w: Weight, bias: Weight | null, eps: number, dy: Tensor, dx: Tensor | null): void;

  /** Of {@link Ops.causalConv1d}. dy `[T, C]`. */
  causalConv1dBackward(
    x: Tensor,
    w: Weight,
    bias: Weight | null,
    activation: 'silu' | 'none',
    state: StateField,
    segments: readonly BackwardSegment[],
    dy: Tensor,
    dx: Tensor | null,
  ): void;

  /** Of {@link Ops.selectiveScan}. dy `[T, C]`. */
  selectiveScanBackward(
    u: Tensor,
    delta: Tensor,
    A: Weight,
    B: Tensor,
    C: Tensor,
    D: Weight | null,
    z: Tensor | null,
    deltaBias: Weight | null,
    deltaSoftplus: boolean,
    state: StateField,
    segments: readonly BackwardSegment[],
    dy: Tensor,
    gradients: Wanted<'u' | 'delta' | 'B' | 'C' | 'z'>,
  ): void;

  /** Of {@link Ops.ssd}. dy `[T, H P]`. The clamp of the step size passes what lies within it, ends included. */
  ssdBackward(
    x: Tensor,
    dt: Tensor,
    A: Weight,
    B: Tensor,
    C: Tensor,
    D: Weight | null,
    dtBias: Weight | null,
    dtLimit: readonly [low: number, high: number],
    state: StateField,
    segments: readonly BackwardSegment[],
    dy: Tensor,
    gradients: Wanted<'x' | 'dt' | 'B' | 'C'>,
  ): void;

  /** Of {@link Ops.mamba3Scan}. dy `[T, R H P]`. */
  mamba3ScanBackward(
    inputs: Parameters<Ops['mamba3Scan']>[0],
    weights: Parameters<Ops['mamba3Scan']>[1],
    form: Mamba3Form,
    state: Mamba3State,
    segments: readonly BackwardSegment[],
    dy: Tensor,
    gradients: Wanted<'x' | 'dt' | 'a' | 'trap' | 'angle' | 'B' | 'C'>,
  ): void;

  /** Of {@link Ops.mimoGate}. dout `[T, H P]`. */
  mimoGateBackward(
    y: Tensor,
    gate: Tensor,
    wGate: Weight,
    wOut: Weight,
    dout: Tensor,
    gradients: Wanted<'y' | 'gate'>,
  ): void;

  /** Of {@link Ops.siluGate}. dy `[T, C]`. */
  siluGateBackward(x: Tensor, gate: Tensor, dy: Tensor, gradients: Wanted<'x' | 'gate'>): void;

  /** Of {@link Ops.gelu}. dy `[T, C]`. */
  geluBackward(x: Tensor, form: 'erf' | 'tanh', dy: Tensor, dx: Tensor): void;

  /** Of {@link Ops.rope}: dy turned back. dy `[T H, D]`. */
  ropeBackward(
    frequencies: Float64Array,
    rotation: 'halves' | 'pairs',
    segments: readonly Segment[],
    dy: Tensor,
    dx: Tensor,
  ): void;

  /** Of {@link Ops.attention}. dy `[T H, D]`. */
  attentionBackward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: number,
    cache: CacheField,
    segments: readonly BackwardSegment[],
    dy: Tensor,
    gradients: Wanted<'q' | 'k' | 'v'>,
  ): void;

  /** Of {@link Ops.concat}. dy `[T, A + B]`. */
  concatBackward(dy: Tensor, gradients: Wanted<'a' | 'b'>): void;

  /** Of {@link Ops.add}. dy `[T, C]`. */
  addBackward(dy: Tensor, gradients: Wanted<'a' | 'b'>): void;

  /** Of {@link TrainingBackend.dropout}: dy through the same mask. dy `[T, C]`. */
  dropoutBackward(rate: number, mask: DropoutMask, dy: Tensor, dx: Tensor): void;

  /** Of {@link TrainingBackend.crossEntropy}. dy `[rows, 1]`. */
  crossEntropyBackward(
    x: Tensor,
    w: Weight,
    rows: Int32Array,
    targets: Int32Array,
    vocabSize: number,
    dy: Tensor,
    dx: Tensor | null,
  ): void;
}

/** Which elements dropout keeps: a pure function of three integers, `seed` and `step` to 2^53 - 1, `site` to 2^32 - 1. */
export interface DropoutMask {
  /** Of the run. */
  readonly seed: number;
  /** Of the pass: no two passes of a run have the same. */
  readonly step: number;
  /** Of the op within the pass. */
  readonly site: number;
}

/** A backend that can train: weights that change, and a gradient of each. */
export interface TrainingBackend extends Backend, BackwardOps {
  /**
   * The language model head and its loss in one op, so that the logits of all rows never exist at once:
   * `y[i] = log(sum_v exp(l[v])) - l[targets[i]]` with `l = w x[rows[i]]`. x `[T, C]`, w matrix `[V', C]`,
   * V' >= vocabSize -> `[rows, 1]`, nats. A target outside 0..vocabSize-1 throws `TOKEN_ID`.
   */
  crossEntropy(x: Tensor, w: Weight, rows: Int32Array, targets: Int32Array, vocabSize: number): Tensor;
  /**
   * Inverted dropout: x / (1 - rate), or 0 with the probability `rate`, 0 <= rate < 1. Element e (row-major) draws word
   * e % 4 of the Philox4x32-10 block with the counter (e / 4, site, step) and the key `seed`, so that a mask depends on
   * nothing else: not on threads, not on what ran before. x `[T, C]` -> `[T, C]`.
   */
  dropout(x: Tensor, rate: number, mask: DropoutMask): Tensor;
  /** Which implementation serves each backward op. */
  describeBackward(): Readonly<Record<keyof BackwardOps, 'native' | 'reference'>>;
  /** A scratch tensor of zeros, to which gradients are added. */
  zeros(shape: readonly [number, number]): Tensor;
  /** From now on the backward ops add to a gradient of this weight, which starts as zeros. A weight must be f32. */
  trackGradient(weight: Weight): void;
  /** The gradient of a tracked weight, in its logical order, as a copy. */
  readGradient(weight: Weight): Promise<Float32Array>;
  /** The gradient of a tracked weight becomes zero. */
  zeroGradient(weight: Weight): void;
  /** New values of a weight, in its logical order, as used (no map is applied). */
  writeWeight(weight: Weight, values: Float32Array): void;
}
