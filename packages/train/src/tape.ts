import {
  type BackwardSegment,
  type DropoutMask,
  MambaError,
  type Ops,
  type Segment,
  type Slot,
  type Tensor,
  type TrainingBackend,
  type Weight,
} from '@mamba-ts/tensor';

/** What a tensor of the tape points to: one op's whole result, and the gradient to it, made when first added to. */
interface Node {
  readonly value: Tensor;
  gradient: Tensor | null;
}

/** Of a sequence that the pass advances. */
interface Tracked {
  /** As it was before the pass. */
  readonly initial: Slot;
  /** The gradient to its state. */
  readonly gradient: Slot;
}

/** How a pass is recorded. */
export interface TapeOptions {
  /**
   * Drops out the second operand of every `add`: the branch of a residual connection. `rate` is the share that is dropped.
   */
  readonly dropout?: (Omit<DropoutMask, 'site'> & { readonly rate: number }) | undefined;
}

/** The same part of another tensor of the same storage layout. */
const within = (whole: Tensor, view: Tensor): Tensor => ({
  shape: view.shape,
  rowStride: view.rowStride,
  offset: whole.offset + view.offset,
  storage: whole.storage,
});

/**
 * Records the ops of one pass and walks them backward. `ops` is handed to a model as if it were a backend: the layers do
 * not know. Views (splits, reshapes) cost nothing here either: a gradient belongs to an op's whole result, and a view of
 * the result is the same view of the gradient.
 *
 * Gradients to weights are added to those that the backend tracks; those to initial states are in `stateGradient`.
 */
export class Tape {
  readonly ops: Ops;
  readonly #backend: TrainingBackend;
  readonly #dropout: TapeOptions['dropout'];
  /** Additions so far: each has a mask of its own. */
  #sites = 0;
  readonly #backward: (() => void)[] = [];
  readonly #tracked = new Map<Slot, Tracked>();

  constructor(backend: TrainingBackend, options: TapeOptions = {}) {
    this.#backend = backend;
    this.#dropout = options.dropout;
    this.ops = this.#record(backend);
  }

  /** As {@link TrainingBackend.crossEntropy}, recorded. */
  crossEntropy(x: Tensor, w: Weight, rows: Int32Array, targets: Int32Array, vocabSize: number): Tensor {
    const b = this.#backend;
    return this.#push(b.crossEntropy(inner(x), w, rows, targets, vocabSize), (dy) =>
      b.crossEntropyBackward(inner(x), w, rows, targets, vocabSize, dy, this.#gradient(x)),
    );
  }

  /** x + y, recorded: as `ops.add`, without dropout. */
  sum(x: Tensor, y: Tensor): Tensor {
    const b = this.#backend;
    return this.#push(b.add(inner(x), inner(y)), (dy) =>
      b.addBackward(dy, { a: this.#gradient(x), b: this.#gradient(y) }),
    );
  }

  /** The recorded tensor as the backend knows it, for reading. */
  value(x: Tensor): Tensor {
    return inner(x);
  }

  /** Adds the gradients of `sum(y * dy)` to weights and states; dy is a tensor of the backend. Once per tape. */
  backward(y: Tensor, dy: Tensor): void {
    this.#backend.addBackward(dy, { a: this.#gradient(y), b: null });
    for (const step of this.#backward.splice(0).reverse()) step();
  }

  /** After `backward`: the gradient to the state that `slot` held before the pass, a slot of the same layout. */
  stateGradient(slot: Slot): Slot {
    const tracked = this.#tracked.get(slot);
    if (!tracked) throw new MambaError('ARGUMENT', 'stateGradient: no op of this tape used the slot');
    return tracked.gradient;
  }

  /** Frees what outlives a step: copies of states and their gradients. */
  dispose(): void {
    for (const { initial, gradient } of this.#tracked.values()) {
      this.#backend.freeSlot(initial);
      this.#backend.freeSlot(gradient);
    }
    this.#tracked.clear();
    this.#backward.length = 0;
  }

  /** A result with the step that carries its gradient on to the op's inputs; results that the loss does not see are skipped. */
  #push(value: Tensor, step: (dy: Tensor) => void): Tensor {
    const node: Node = { value, gradient: null };
    this.#backward.push(() => {
      if (node.gradient) step(node.gradient);
    });
    return { shape: value.shape, rowStride: value.rowStride, offset: 0, storage: node };
  }

  /** Where the gradient to x is added. */
  #gradient(x: Tensor): Tensor {
    const node = x.storage as Node;
    node.gradient ??= this.#backend.zeros(node.value.shape);
    return within(node.gradient, x);
  }

  #optional(x: Tensor | null): Tensor | null {
    return x && this.#gradient(x);
  }

  /** Copies the states before the first op that advances them: each of their fields belongs to one op of a pass. */
  #track(segments: readonly Segment[]): BackwardSegment[] {
    const b = this.#backend;
    for (const { slot, reset, position } of segments) {
      if (this.#tracked.has(slot)) continue;
      const initial = b.createSlot(slot.length, slot.caches);
      const gradient = b.createSlot(slot.length, slot.caches);
      this.#tracked.set(slot, { initial, gradient });
      if (!reset) b.copySlot(slot, initial, slot.caches.length > 0 ? position : 0);
      if (slot.caches.length > 0) b.reserveRows(gradient, slot.rows);
    }
    return segments.map((segment) => {
      const { initial, gradient } = this.#tracked.get(segment.slot)!;
      return { ...segment, slot: initial, gradient };
    });
  }

  /** x through a dropout mask, where there is dropout. */
  #drop(x: Tensor): Tensor {
    if (!this.#dropout || this.#dropout.rate === 0) return x;
    const b = this.#backend;
    const { rate, seed, step } = this.#dropout;
    const mask = { seed, step, site: this.#sites++ };
    return this.#push(b.dropout(inner(x), rate, mask), (dy) => b.dropoutBackward(rate, mask, dy, this.#gradient(x)));
  }

  #record(b: TrainingBackend): Ops {
    const push = this.#push.bind(this);
    const gradient = this.#gradient.bind(this);
    const optional = this.#optional.bind(this);
    const track = this.#track.bind(this);
    return {
      linear: (x, w, bias) =>
        push(b.linear(inner(x), w, bias), (dy) => b.linearBackward(inner(x), w, bias, dy, gradient(x))),

      embedding: (ids, w) => push(b.embedding(ids, w), (dy) => b.embeddingBackward(ids, w, dy)),

      rmsNorm: (x, w, eps, groups = 1) =>
        push(b.rmsNorm(inner(x), w, eps, groups), (dy) => b.rmsNormBackward(inner(x), w, eps, groups, dy, gradient(x))),

      layerNorm: (x, w, bias, eps) =>
        push(b.layerNorm(inner(x), w, bias, eps), (dy) => b.layerNormBackward(inner(x), w, bias, eps, dy, gradient(x))),

      causalConv1d: (x, w, bias, activation, state, segments) => {
        const before = track(segments);
        return push(b.causalConv1d(inner(x), w, bias, activation, state, segments), (dy) =>
          b.causalConv1dBackward(inner(x), w, bias, activation, state, before, dy, gradient(x)),
        );
      },

      selectiveScan: (u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments) => {
        const before = track(segments);
        const inputs = [
          inner(u),
          inner(delta),
          A,
          inner(B),
          inner(C),
          D,
          z && inner(z),
          deltaBias,
          deltaSoftplus,
        ] as const;
        return push(b.selectiveScan(...inputs, state, segments), (dy) =>
          b.selectiveScanBackward(...inputs, state, before, dy, {
            u: gradient(u),
            delta: gradient(delta),
            B: gradient(B),
            C: gradient(C),
            z: optional(z),
          }),
        );
      },

      ssd: (x, dt, A, B, C, D, dtBias, dtLimit, state, segments) => {
        const before = track(segments);
        const inputs = [inner(x), inner(dt), A, inner(B), inner(C), D, dtBias, dtLimit] as const;
        return push(b.ssd(...inputs, state, segments), (dy) =>
          b.ssdBackward(...inputs, state, before, dy, {
            x: gradient(x),
            dt: gradient(dt),
            B: gradient(B),
            C: gradient(C),
          }),
        );
      },

      mamba3Scan: (inputs, weights, form, state, segments) => {
        const before = track(segments);
        const { x, dt, a, trap, angle, B, C } = inputs;
        const each = (of: (x: Tensor) => Tensor): Record<keyof typeof inputs, Tensor> => ({
          x: of(x),
          dt: of(dt),
          a: of(a),
          trap: of(trap),
          angle: of(angle),
          B: of(B),
          C: of(C),
        });
        const own = each(inner);
        return push(b.mamba3Scan(own, weights, form, state, segments), (dy) =>
          b.mamba3ScanBackward(own, weights, form, state, before, dy, each(gradient)),
        );
      },

      mimoGate: (y, gate, wGate, wOut) =>
        push(b.mimoGate(inner(y), inner(gate), wGate, wOut), (dout) =>
          b.mimoGateBackward(inner(y), inner(gate), wGate, wOut, dout, { y: gradient(y), gate: gradient(gate) }),
        ),

      siluGate: (x, gate) =>
        push(b.siluGate(inner(x), inner(gate)), (dy) =>
          b.siluGateBackward(inner(x), inner(gate), dy, { x: gradient(x), gate: gradient(gate) }),
        ),

      gelu: (x, form) => push(b.gelu(inner(x), form), (dy) => b.geluBackward(inner(x), form, dy, gradient(x))),

      rope: (x, frequencies, rotation, segments) =>
        push(b.rope(inner(x), frequencies, rotation, segments), (dy) =>
          b.ropeBackward(frequencies, rotation, segments, dy, gradient(x)),
        ),

      attention: (q, k, v, scale, cache, segments) => {
        const before = track(segments);
        return push(b.attention(inner(q), inner(k), inner(v), scale, cache, segments), (dy) =>
          b.attentionBackward(inner(q), inner(k), inner(v), scale, cache, before, dy, {
            q: gradient(q),
            k: gradient(k),
            v: gradient(v),
          }),
        );
      },

      concat: (x, y) =>
        push(b.concat(inner(x), inner(y)), (dy) => b.concatBackward(dy, { a: gradient(x), b: gradient(y) })),

      add: (x, y) => this.sum(x, this.#drop(y)),

      logits: () => {
        throw new MambaError(
          'ARGUMENT',
          'logits has no gradient on a tape: take crossEntropy, which is head and loss in one',
        );
      },
    };
  }
}

/** What the backend knows a recorded tensor as. */
function inner(x: Tensor): Tensor {
  return within((x.storage as Node).value, x);
}
