import type { DType } from './dtype.ts';
import type { Tensor } from './tensor.ts';
import type { ParameterSpec, Weight, WeightWriter } from './weights.ts';

/**
 * The state of one sequence, with every layer's fields: a block of f32 of fixed size (recurrent layers), and rows, one
 * per token (the caches of attention layers). Made by `createSlot`, updated in place by the sequence ops, copied, saved
 * and loaded as a whole.
 */
export interface Slot {
  /** f32 elements of the block. */
  readonly length: number;
  /** What a row is made of; empty for a model without attention. */
  readonly caches: readonly CacheField[];
  /** Rows that have memory: those of the tokens fed, and what the backend holds ready. See `reserveRows`. */
  readonly rows: number;
  /** Bytes that it holds now. */
  readonly bytes: number;
}

/** Where one layer's state lies in every slot of a model, e.g. `layers.3.ssm`, `[channels, states]`. */
export interface StateField {
  /** For inspection and saved states, such as `layers.3.conv`. */
  readonly name: string;
  /** Row-major. */
  readonly shape: readonly number[];
  /** f32 elements from the start of the slot. */
  readonly offset: number;
}

/**
 * One attention layer's part of every row of a slot: the token's keys `[heads, width]`, then its values `[heads, width]`.
 * How rows lie in memory is the backend's business; read and written they are `[rows, sum of 2 heads width]`.
 */
export interface CacheField {
  /** For inspection, such as `layers.3.attention`. */
  readonly name: string;
  /** Heads of keys and values; queries may have a multiple of them. */
  readonly heads: number;
  /** Of one head. */
  readonly width: number;
  /** f32 elements from the start of a row. */
  readonly offset: number;
}

/**
 * A run of consecutive rows that belong to one sequence. All sequences of a step are packed into one `[tokens,
 * channels]` tensor without padding; single sequences, ragged batches, mixed prefill and decode, and document
 * boundaries are all lists of segments. Segments of one call name distinct slots, or follow one another in row order.
 */
export interface Segment {
  /** First row. */
  readonly start: number;
  /** Rows; 0 is allowed and leaves the state alone (but for `reset`). */
  readonly length: number;
  /** The state that the rows read and advance. */
  readonly slot: Slot;
  /** Zero the state before the first row. */
  readonly reset: boolean;
  /**
   * Tokens of the sequence before the first row; 0 where left out, and after a reset. `rope` turns by it, `attention`
   * sees so many cached rows and caches its own behind them.
   */
  readonly position?: number;
}

/**
 * Leaves out updates of a state that would change next to nothing (`selectiveScan`, `ssd`). A value within rounding of
 * `below` may be decided otherwise by another backend.
 */
export interface UpdateSkipping {
  /** EPS, above 0. */
  readonly below: number;
  /** Updates that there were, to which the ops add: one per token and channel, or per token and head. */
  updates: number;
  /** Those of them that were not computed. */
  skipped: number;
}

/** The variants of `mamba3Scan`. */
export interface Mamba3Form {
  /** Which elements turn together: (2i, 2i + 1), as in SISO, or (i, i + N/2), as in MIMO. */
  readonly rotation: 'pairs' | 'halves';
  /** f of the decay: 1 + x right of 0 and 1 / (1 - x) left of it, or softplus (the code before June 2026). */
  readonly activation: 'heavyTail' | 'softplus';
  /** The decay rate is at least this. */
  readonly floor: number;
}

/** The state of one layer of Mamba-3. */
export interface Mamba3State {
  /** theta, `[H, S]`, in [0, 2 pi). */
  readonly angle: StateField;
  /** S, `[H, P, N]`. */
  readonly ssm: StateField;
  /** The last token's k, rotated, `[R, H, N]`. */
  readonly k: StateField;
  /** The last token's x, before its projection to ranks, `[H, P]`. */
  readonly v: StateField;
}

/**
 * The ops. All activations are f32 and token-major. Outputs are fresh scratch tensors; inputs may be views. Each op
 * is specified by its plain-TypeScript reference (`@mamba-ts/tensor/reference`), which accumulates in f64 where it is
 * asked to; an accelerated backend must agree with it within the tolerances of `@mamba-ts/tensor/testing`.
 *
 * Shapes: T tokens, C channels, N states per channel, K taps. Weights are written in their logical order.
 */
export interface Ops {
  /** `y[t, o] = sum_i x[t, i] w[o, i] + bias[o]`. x `[T, I]`, w matrix `[O, I]`, bias vector `[O]` -> `[T, O]`. */
  linear(x: Tensor, w: Weight, bias: Weight | null): Tensor;

  /** `y[t] = w[ids[t]]`. w matrix `[V, C]` -> `[T, C]`. An id outside 0..V-1 throws `TOKEN_ID`. */
  embedding(ids: Int32Array, w: Weight): Tensor;

  /**
   * `y[t] = x[t] / sqrt(mean(x[t]^2) + eps) * w`, over each of `groups` equal parts of the columns on its own (1 part
   * where left out). x `[T, C]`, w vector `[C]` or null for a norm without weight; a shorter one of whole parts, `[C / groups]`
   * or a multiple of it that divides C, repeats along the columns.
   * Source: Zhang & Sennrich 2019, equation 4; state-spaces/mamba ops/triton/layer_norm.py, layernorm_gated.py.
   */
  rmsNorm(x: Tensor, w: Weight | null, eps: number, groups?: number): Tensor;

  /**
   * `y[t] = (x[t] - mean(x[t])) / sqrt(var(x[t]) + eps) * w + bias`, var over all C (not C - 1). x `[T, C]`, w vector
   * `[C]`, bias vector `[C]` or null. Source: Ba, Kiros & Hinton 2016, equation 4; torch.nn.functional.layer_norm.
   */
  layerNorm(x: Tensor, w: Weight, bias: Weight | null, eps: number): Tensor;

  /**
   * Depthwise causal convolution: `y[t, c] = act(bias[c] + sum_k w[c, k] x[t - K + 1 + k, c])`; the last tap meets the
   * current token. Rows before the segment come from the state `[C, K-1]`, oldest first, which is left holding the
   * last K-1 inputs. x `[T, C]`, w vector `[C, K]`, bias vector `[C]`; K = 1 has an empty state.
   * Source: Dao-AILab/causal-conv1d causal_conv1d_ref.
   */
  causalConv1d(
    x: Tensor,
    w: Weight,
    bias: Weight | null,
    activation: 'silu' | 'none',
    state: StateField,
    segments: readonly Segment[],
  ): Tensor;

  /**
   * The selective scan of Mamba-1 (Gu & Dao 2023, algorithm 2), with discretisation, skip and gate fused:
   *
   *     d[t, c]    = delta[t, c] + deltaBias[c], through softplus where asked
   *     h[c, n]    = exp(d[t, c] A[c, n]) h[c, n] + d[t, c] B[t, n] u[t, c]
   *     y[t, c]    = (sum_n C[t, n] h[c, n] + D[c] u[t, c]) * silu(z[t, c])
   *
   * u, delta, z `[T, C]`; A vector `[C, N]` (negative); B, C `[T, N]`; D, deltaBias vectors `[C]`; state `[C, N]`.
   * D, z and deltaBias may be null: no skip, no gate, no bias. The published function (state-spaces/mamba
   * ops/selective_scan_interface.py selective_scan_ref) is channel-major and has no initial state; otherwise the same.
   *
   * With `skipping`, all N states of a channel stay as they are at a token where both
   *
   *     |d[t, c]| max_n |A[c, n]| < below    and    |d[t, c] u[t, c]| max_n |B[t, n]| < below
   *
   * so that neither decay nor input would matter; y is computed from them as ever.
   */
  selectiveScan(
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
    segments: readonly Segment[],
    skipping?: UpdateSkipping,
  ): Tensor;

  /**
   * The recurrence of Mamba-2 (state space duality, Dao & Gu 2024), with discretisation and skip fused. A head's state is
   * a matrix `[P, N]` with one decay; head h reads B and C of group g = floor(h / (H / G)) (repeat_interleave, not tile):
   *
   *     d[t, h]       = clamp(softplus(dt[t, h] + dtBias[h]), low, high)
   *     S[h, p, n]    = exp(d[t, h] A[h]) S[h, p, n] + d[t, h] x[t, h, p] B[t, g, n]
   *     y[t, h, p]    = sum_n C[t, g, n] S[h, p, n] + D[h, p] x[t, h, p]
   *
   * x `[T, H P]`; dt `[T, H]`; A vector `[H]` (negative); B, C `[T, G N]`; D vector `[H]` (one number per head), `[H P]`
   * or null; dtBias vector `[H]` or null; dtLimit = [low, high]; state `[H, P, N]`. How the time axis is cut is the
   * backend's business. Source: state-spaces/mamba ops/triton/ssd_combined.py mamba_chunk_scan_combined.
   *
   * With `skipping`, the matrix of a head stays as it is at a token where both
   *
   *     |d[t, h] A[h]| < below    and    d[t, h] max_p |x[t, h, p]| max_n |B[t, g, n]| < below
   */
  ssd(
    x: Tensor,
    dt: Tensor,
    A: Weight,
    B: Tensor,
    C: Tensor,
    D: Weight | null,
    dtBias: Weight | null,
    dtLimit: readonly [low: number, high: number],
    state: StateField,
    segments: readonly Segment[],
    skipping?: UpdateSkipping,
  ): Tensor;

  /**
   * The recurrence of Mamba-3 (Lahoti et al. 2026): trapezoid rule, states that turn, rank R (1: SISO). For head h, group
   * g = floor(h / (H / G)) and rank r, all in one op:
   *
   *     d         = softplus(dt[t, h] + dtBias[h])
   *     alpha     = exp(d min(-f(a[t, h]), -floor));  lambda = sigmoid(trap[t, h])
   *     theta[s]  = theta[s] + pi tanh(angle[t, s]) d, modulo 2 pi
   *     k[r]      = B[t, r, g] + biasB[h, r], its pairs turned by theta;  q[r] the same of C
   *     v[r, p]   = x[t, h, p] mimoX[h, r, p]                              (mimoX null: v = x)
   *     S         = alpha S + sum_r (1 - lambda) d alpha v'[r] k'[r] + lambda d v[r] k[r]     (outer products [P, N])
   *     y[r, p]   = sum_n q[r, n] S[p, n] + D[h] v[r, p]
   *
   * k' and v' are those of the token before. x `[T, H P]`; dt, a, trap `[T, H]`; angle `[T, S]`, 2 S <= N; B, C
   * `[T, R G N]`, normed before; dtBias, D vectors `[H]`; biasB, biasC `[H, R, N]`; mimoX `[H, R, P]` -> `[T, R H P]`.
   * Source: state-spaces/mamba modules/mamba3.py, tests/ops/triton/test_mamba3_siso.py mamba3_siso_step_ref,
   * tests/ops/tilelang/test_mamba3_mimo.py mamba3_MIMO_step_ref.
   */
  mamba3Scan(
    inputs: {
      readonly x: Tensor;
      readonly dt: Tensor;
      readonly a: Tensor;
      readonly trap: Tensor;
      readonly angle: Tensor;
      readonly B: Tensor;
      readonly C: Tensor;
    },
    weights: {
      readonly dtBias: Weight;
      readonly biasB: Weight;
      readonly biasC: Weight;
      readonly D: Weight;
      readonly mimoX: Weight | null;
    },
    form: Mamba3Form,
    state: Mamba3State,
    segments: readonly Segment[],
  ): Tensor;

  /**
   * The end of a MIMO layer: `out[t, h, p] = sum_r y[t, r, h, p] silu(gate[t, h, p] wGate[h, r, p]) wOut[h, r, p]`.
   * y `[T, R H P]`, gate `[T, H P]`, wGate and wOut vectors `[H, R, P]` -> `[T, H P]`.
   * Source: state-spaces/mamba modules/mamba3.py Mamba3._postprocess.
   */
  mimoGate(y: Tensor, gate: Tensor, wGate: Weight, wOut: Weight): Tensor;

  /**
   * `y = x silu(gate)`, both `[T, C]`: the gate of Mamba's output, and of gated MLPs (SwiGLU).
   * Source: Shazeer 2020, equation 6; state-spaces/mamba modules/mlp.py.
   */
  siluGate(x: Tensor, gate: Tensor): Tensor;

  /**
   * Gaussian error linear unit, x `[T, C]`: `erf`: `x / 2 (1 + erf(x / sqrt 2))`; `tanh`, which stands for it in many
   * models: `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`. Source: Hendrycks & Gimpel 2016, section 2.
   */
  gelu(x: Tensor, form: 'erf' | 'tanh'): Tensor;

  /**
   * Rotary position embedding: turns the pairs (a, b) of every head by an angle that grows with the token's position in its
   * sequence,
   *
   *     y_a = x_a cos(p f_i) - x_b sin(p f_i)        y_b = x_b cos(p f_i) + x_a sin(p f_i)
   *
   * for i < F: `halves`: (a, b) = (i, i + F), as in GPT-NeoX and Llama; `pairs`: (2 i, 2 i + 1), as in the paper and in
   * GGUF files of Llama. Columns from 2 F on stay. x `[T H, D]`, a row per token and head; frequencies `[F]`, radians per
   * token, 2 F <= D. Source: Su et al. 2021, equation 34; transformers apply_rotary_pos_emb.
   */
  rope(x: Tensor, frequencies: Float64Array, rotation: 'halves' | 'pairs', segments: readonly Segment[]): Tensor;

  /**
   * Causal attention over the cache, to which the rows' own keys and values are added first:
   *
   *     y[t, h] = sum_s softmax_s(scale q[t, h] . k[s, g]) v[s, g],   s = 0 .. position of t,   g = floor(h / (H / G))
   *
   * Token t of a segment has position `segment.position + t - segment.start`; rows s come from the cache, where earlier
   * calls left them. H query heads share G heads of keys and values (grouped queries). q `[T H, D]`, k and v `[T G, D]`, a
   * row per token and head -> `[T H, D]`. Every slot has rows reserved for its segment's tokens: the op allocates no state.
   * No `[T, T]` matrix is formed. Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 (groups); Milakov &
   * Gimelshein 2018 (online softmax).
   */
  attention(q: Tensor, k: Tensor, v: Tensor, scale: number, cache: CacheField, segments: readonly Segment[]): Tensor;

  /** `y[t] = (a[t], b[t])`: a `[T, A]`, b `[T, B]` -> `[T, A + B]`. */
  concat(a: Tensor, b: Tensor): Tensor;

  /** `y = a + b`, both `[T, C]`: the residual connection. */
  add(a: Tensor, b: Tensor): Tensor;

  /**
   * The language model head: `y[i] = w x[rows[i]]`, for the asked rows only, without the padded rows of the
   * vocabulary. x `[T, C]`, w matrix `[V', C]` with V' >= vocabSize, rows within 0..T-1 -> `[rows, vocabSize]`.
   */
  logits(x: Tensor, w: Weight, rows: Int32Array, vocabSize: number): Tensor;
}

/** The names of the ops. */
export type OpName = keyof Ops;

/** What runs: nothing here is silent. */
export interface BackendDescription {
  /** `reference`, `wasm-simd`, `wasm-relaxed`, ... */
  readonly name: string;
  /** That compute, the one that calls among them. */
  readonly threads: number;
  /** Why it is not what was asked for, for people to see; absent where it is. */
  readonly note?: string;
  /** Instruction set or number format in words, e.g. `WebAssembly simd128`. */
  readonly arithmetic: string;
  /** Which implementation serves each op. */
  readonly ops: Readonly<Record<OpName, 'native' | 'reference'>>;
}

/** Bytes in use, by lifetime; `total` is what the backend holds from its host (a WASM memory never shrinks). */
export interface MemoryUse {
  readonly weights: number;
  readonly state: number;
  readonly scratch: number;
  readonly total: number;
}

/** A place where the ops run, with three lifetimes of memory: weights, state slots, and scratch. */
export interface Backend extends Ops {
  /** As `--backend` and errors name it. */
  readonly name: string;
  /** What runs: which ops are native and which are not. */
  describe(): BackendDescription;
  /** Bytes in use now, by lifetime. */
  memory(): MemoryUse;

  /** Starts loading one parameter whose file holds `dtype`. Throws `OUT_OF_MEMORY` where it does not fit. */
  createWeight(spec: ParameterSpec, dtype: DType): WeightWriter;
  /** Gives its memory back; the handle is dead from then on. */
  freeWeight(weight: Weight): void;
  /** The values of a vector, row-major, mapped, as a copy: for looking inside. Throws `ROLE` for a matrix. */
  readWeight(weight: Weight): Promise<Float32Array>;

  /** A zeroed slot of `length` f32 elements, and of rows of `caches`, of which it has none yet. */
  createSlot(length: number, caches?: readonly CacheField[]): Slot;
  /** Gives its memory back, rows included; the handle is dead from then on. */
  freeSlot(slot: Slot): void;
  /**
   * Memory for at least `rows` rows; those there are stay where they are. Called before a pass, so that ops never
   * allocate state. Throws `OUT_OF_MEMORY` and leaves the slot as it was.
   */
  reserveRows(slot: Slot, rows: number): void;
  /** The block and the first `rows` rows (none where left out), for which memory is reserved. */
  copySlot(from: Slot, to: Slot, rows?: number): void;
  /** The block as `createSlot` left it: zeros. */
  zeroSlot(slot: Slot): void;
  /** The block, then the first `rows` rows (none where left out). */
  readSlot(slot: Slot, rows?: number): Promise<Float32Array>;
  /** What `readSlot` gave, of any number of rows. */
  writeSlot(slot: Slot, values: Float32Array): void;

  /** A scratch tensor from row-major values, `shape[0] * shape[1]` of them. */
  upload(values: Float32Array, shape: readonly [number, number]): Tensor;
  /** The values of a tensor, row-major, as a copy. The only way back; ops merely enqueue. */
  read(x: Tensor): Promise<Float32Array>;
  /** All scratch tensors are dead after this. Called once per step. */
  endStep(): void;

  /** Gives everything back. Any later call throws `DISPOSED`. */
  dispose(): void;
}
