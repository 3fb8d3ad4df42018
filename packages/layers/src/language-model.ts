import {
  type Backend,
  MambaError,
  type Ops,
  type Segment,
  type Slot,
  type UpdateSkipping,
  type Weight,
  type WeightSource,
} from '@mamba-ts/tensor';
import type { Architecture, ConfigJson, ModelDefinition, Observe } from './architecture.ts';
import { Fingerprint } from './fingerprint.ts';
import type { LanguageModel, LogitsWanted, Sequence, State } from './model.ts';
import { type LoadOptions, loadParameters } from './parameters.ts';
import { skippingOps, startSkipping } from './skipping.ts';
import { decodeInitial, decodeState, encodeState, type StateOwner } from './state-file.ts';

/** Tokens per pass: enough to reuse each weight tile many times, few enough that activations stay in the cache. */
const MAX_CHUNK = 512;

class SlotState implements State {
  readonly owner: LoadedLanguageModel;
  position: number;
  #slot: Slot | null;
  /** Why it can no longer be used: a pass that fails half way leaves some layers ahead of others. */
  broken: unknown = null;

  constructor(owner: LoadedLanguageModel, slot: Slot, position: number) {
    this.owner = owner;
    this.#slot = slot;
    this.position = position;
  }

  get byteLength(): number {
    return this.#slot?.bytes ?? 0;
  }

  get slot(): Slot {
    if (!this.#slot) throw new MambaError('DISPOSED', 'this state was disposed');
    if (this.broken) {
      throw new MambaError(
        'STATE_BROKEN',
        'an earlier pass failed half way and left this state useless; go back to a copy',
        {},
        { cause: this.broken },
      );
    }
    return this.#slot;
  }

  clone(): State {
    const { backend } = this.owner;
    const from = this.slot;
    const to = backend.createSlot(from.length, from.caches);
    try {
      backend.copySlot(from, to, this.#rows);
    } catch (error) {
      backend.freeSlot(to);
      throw error;
    }
    return new SlotState(this.owner, to, this.position);
  }

  async save(): Promise<Uint8Array> {
    const { position } = this;
    return encodeState(this.owner.stateOwner, position, await this.owner.backend.readSlot(this.slot, this.#rows));
  }

  /** Rows in use. */
  get #rows(): number {
    return this.slot.caches.length > 0 ? this.position : 0;
  }

  dispose(): void {
    if (this.#slot) this.owner.backend.freeSlot(this.#slot);
    this.#slot = null;
  }
}

/** What a loaded model is made of. */
export interface ModelSummary {
  /** As config.json names it, such as `mamba`. */
  readonly modelType: string;
  /** Numbers in the weights; a tied embedding counts once. */
  readonly parameters: number;
  /** Tensors and bytes in memory by dtype. */
  readonly dtypes: Readonly<Record<string, { tensors: number; bytes: number }>>;
  /** Bytes of weights in memory. */
  readonly weightBytes: number;
  /** Bytes of one sequence's state before any token; of a Transformer none. */
  readonly stateBytes: number;
  /** What each token adds to it: 0 for a recurrent model. Memory for it comes in pages of 64 tokens. */
  readonly stateBytesPerToken: number;
  /** Bytes of weights that one decoded token reads: all matrices and vectors once, of the embedding one row unless tied. */
  readonly decodeBytes: number;
  /** Multiply-adds times 2 of one prompt token outside embedding and head; the scan is not counted. */
  readonly flopsPerToken: number;
  /** The same of the head, once per prompt. */
  readonly flopsHead: number;
}

/** A copy of one inner value. */
export interface Observed {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: Float32Array;
}

/** A model definition with its weights on a backend. */
export class LoadedLanguageModel implements LanguageModel {
  readonly backend: Backend;
  /** Which updates of the state are skipped, and how many there were; null where none are. */
  readonly skipping: UpdateSkipping | null;
  readonly stateOwner: StateOwner;
  readonly maxChunk: number = MAX_CHUNK;
  readonly #definition: ModelDefinition;
  readonly #ops: Ops;
  readonly #tree: never;
  readonly #weights: readonly Weight[];
  /** What a text begins with; null for zeros. */
  readonly #initial: Float32Array | null;
  #disposed = false;

  constructor(
    definition: ModelDefinition,
    loaded: { weights: unknown; all: readonly Weight[]; fingerprint: string },
    backend: Backend,
    skipping: UpdateSkipping | null = null,
    initialState?: Uint8Array | undefined,
  ) {
    this.backend = backend;
    this.skipping = skipping;
    this.#ops = skipping ? skippingOps(backend, skipping) : backend;
    this.#definition = definition;
    this.#tree = loaded.weights as never;
    this.#weights = loaded.all;
    const owner: StateOwner = {
      model: definition.modelType,
      fingerprint: loaded.fingerprint,
      adapter: null,
      layout: definition.state,
    };
    this.#initial = initialState === undefined ? null : decodeInitial(owner, initialState);
    this.stateOwner = initialState === undefined ? owner : { ...owner, adapter: nameOf(initialState) };
  }

  get vocabSize(): number {
    return this.#definition.vocabSize;
  }
  get eosTokenIds(): readonly number[] {
    return this.#definition.eosTokenIds;
  }
  get bosTokenId(): number | null {
    return this.#definition.bosTokenId;
  }
  /** The most tokens that a text may have; null where nothing but patience limits it. */
  get contextLength(): number | null {
    return this.#definition.contextLength;
  }

  /** Sizes: parameters, bytes, operations per token. */
  summary(): ModelSummary {
    const head = this.#definition.head(this.#tree);
    const dtypes: Record<string, { tensors: number; bytes: number }> = {};
    let parameters = 0;
    let weightBytes = 0;
    let flops = 0;
    const embedding = this.#definition.embedding(this.#tree);
    for (const weight of this.#weights) {
      const count = weight.shape.reduce((product, axis) => product * axis, 1);
      parameters += count;
      weightBytes += weight.bytes;
      const { tensors, bytes } = dtypes[weight.dtype] ?? { tensors: 0, bytes: 0 };
      dtypes[weight.dtype] = { tensors: tensors + 1, bytes: bytes + weight.bytes };
      if (weight.role === 'matrix' && weight !== head && weight !== embedding) flops += 2 * count;
    }
    return {
      modelType: this.#definition.modelType,
      parameters,
      dtypes,
      weightBytes,
      stateBytes: 4 * this.#definition.state.length,
      stateBytesPerToken: 4 * this.#definition.state.rowLength,
      decodeBytes: embedding === head ? weightBytes : weightBytes - embedding.bytes * (1 - 1 / embedding.shape[0]!),
      flopsPerToken: flops,
      flopsHead: 2 * this.vocabSize * head.shape[1]!,
    };
  }

  /** Floating-point operations to read a text of `length` tokens from a fresh state, the head once; a multiply-add is two. */
  operations(length: number): number {
    const { flopsPerToken, flopsHead } = this.summary();
    return length * flopsPerToken + flopsHead + this.#definition.sequenceOperations(length);
  }

  createState(): State {
    this.#alive();
    const slot = this.#createSlot();
    if (this.#initial) this.backend.writeSlot(slot, this.#initial);
    return new SlotState(this, slot, 0);
  }

  loadState(bytes: Uint8Array): State {
    this.#alive();
    const { position, values } = decodeState(this.stateOwner, bytes);
    const slot = this.#createSlot();
    try {
      this.backend.writeSlot(slot, values);
    } catch (error) {
      this.backend.freeSlot(slot);
      throw error;
    }
    return new SlotState(this, slot, position);
  }

  #createSlot(): Slot {
    const { length, caches } = this.#definition.state;
    return this.backend.createSlot(length, caches);
  }

  async forward(ids: Int32Array, state: State, logits: LogitsWanted): Promise<Float32Array> {
    const [result] = await this.forwardBatch([{ ids, state, logits }]);
    return result!;
  }

  async forwardBatch(sequences: readonly Sequence[]): Promise<Float32Array[]> {
    return this.#step(sequences);
  }

  /**
   * Feeds `ids` into `state` as `forward` does, and returns copies of the values that the layers show and `wanted` asks
   * for, by name: `layers.3.delta` and so on (see `mambaMixer`).
   */
  async observe(
    ids: Int32Array,
    state: State,
    wanted: (name: string) => boolean = () => true,
  ): Promise<Map<string, Observed>> {
    const reads: Promise<[string, Observed]>[] = [];
    await this.#step([{ ids, state, logits: 'none' }], (name, value) => {
      if (wanted(name)) reads.push(this.#copy(value).then((copy) => [name, copy]));
    });
    return new Map(await Promise.all(reads));
  }

  async #copy(value: Parameters<Observe>[1]): Promise<Observed> {
    if ('storage' in value) return { shape: value.shape, values: await this.backend.read(value) };
    if ('role' in value) return { shape: value.shape, values: await this.backend.readWeight(value) };
    return { shape: [value.length], values: Float32Array.from(value) };
  }

  async #step(sequences: readonly Sequence[], observe?: Observe): Promise<Float32Array[]> {
    this.#alive();
    const { ids, rows, segments, states } = this.#pack(sequences);
    if (ids.length === 0) return sequences.map(() => new Float32Array(0));
    // Before anything is changed: where memory runs out here, the states are as they were.
    if (this.#definition.state.caches.length > 0) {
      for (const { slot, position, length } of segments) this.backend.reserveRows(slot, position! + length);
    }
    let values: Promise<Float32Array>;
    try {
      const hidden = this.#definition.hidden(this.#ops, this.#tree, ids, segments, observe); // [T, dModel]
      const head = this.#definition.head(this.#tree);
      values =
        rows.length === 0
          ? Promise.resolve(new Float32Array(0))
          : this.backend.read(this.backend.logits(hidden, head, rows, this.vocabSize)); // [rows, vocabSize]
      for (const [i, state] of states.entries()) state.position += sequences[i]!.ids.length;
    } catch (error) {
      // Rows of a cache are written again by the next pass; a recurrence half done cannot be undone.
      if (this.#definition.state.length > 0) for (const state of states) state.broken = error;
      throw error;
    } finally {
      // What was enqueued before this still sees its scratch; the next step starts with an empty arena.
      this.backend.endStep();
    }
    return unpack(await values, sequences, this.vocabSize);
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const weight of this.#weights) this.backend.freeWeight(weight);
  }

  #alive(): void {
    if (this.#disposed) throw new MambaError('DISPOSED', 'this model was disposed');
  }

  #checkLength(length: number): void {
    const { contextLength, modelType } = this.#definition;
    if (contextLength !== null && length > contextLength) {
      throw new MambaError(
        'CONTEXT_LENGTH',
        `${length} tokens are more than the ${contextLength} that this ${modelType} was made for ` +
          '(max_position_embeddings). Shorten the text, or take a recurrent model',
        { length, contextLength },
      );
    }
  }

  /** All sequences one after another without padding, and the rows whose logits are wanted. */
  #pack(sequences: readonly Sequence[]): {
    ids: Int32Array;
    rows: Int32Array;
    segments: Segment[];
    states: SlotState[];
  } {
    const total = sequences.reduce((sum, sequence) => sum + sequence.ids.length, 0);
    if (total > this.maxChunk) {
      throw new MambaError('CHUNK', `${total} ids in one pass, at most ${this.maxChunk} fit: feed them in pieces`);
    }
    const ids = new Int32Array(total);
    const rows: number[] = [];
    const segments: Segment[] = [];
    const states: SlotState[] = [];
    let start = 0;
    for (const { ids: part, state, logits } of sequences) {
      const bad = part.find((id) => id < 0 || id >= this.vocabSize);
      if (bad !== undefined) {
        throw new MambaError('TOKEN_ID', `token id ${bad} is not in the vocabulary of ${this.vocabSize}`, { id: bad });
      }
      if (!(state instanceof SlotState) || state.owner !== this) {
        throw new MambaError('STATE_MODEL', 'this state was made by another model; create or load it with this one');
      }
      if (states.includes(state))
        throw new MambaError('STATE_SHARED', 'one state serves two sequences of a batch; clone it');
      this.#checkLength(state.position + part.length);
      ids.set(part, start);
      if (logits === 'all') for (let i = 0; i < part.length; i++) rows.push(start + i);
      else if (logits === 'last' && part.length > 0) rows.push(start + part.length - 1);
      segments.push({ start, length: part.length, slot: state.slot, reset: false, position: state.position });
      states.push(state);
      start += part.length;
    }
    return { ids, rows: Int32Array.from(rows), segments, states };
  }
}

/** Each sequence's share of the logits, in order. */
function unpack(values: Float32Array, sequences: readonly Sequence[], vocabSize: number): Float32Array[] {
  let at = 0;
  return sequences.map(({ ids, logits }) => {
    const count = logits === 'all' ? ids.length : logits === 'last' && ids.length > 0 ? 1 : 0;
    const part = values.subarray(at, at + count * vocabSize);
    at += count * vocabSize;
    return part;
  });
}

/** What states are tagged with that began from a given one: another beginning is another history. */
const nameOf = (state: Uint8Array): string => `state ${new Fingerprint().bytes(state).digest()}`;

/** How to load a model. */
export interface LoadModelOptions extends LoadOptions {
  /**
   * Skip updates of the state that change it by less: see `selectiveScan` and `ssd` of `@mamba-ts/tensor`. None unless
   * given. Throws `INVALID_OPTION` for what is no number above 0, `SKIP_MODEL` for other models than Mamba-1 and 2.
   */
  readonly skipBelow?: number | undefined;
  /**
   * A saved state of the model that has read no token, such as `mamba tune` makes: what every text begins with. Throws what
   * `LanguageModel.loadState` throws, and `STATE_POSITION`.
   */
  readonly initialState?: Uint8Array | undefined;
}

/** Loads the weights of `json`'s model from `source` onto `backend`. */
export async function loadLanguageModel(
  architecture: Architecture,
  json: ConfigJson,
  source: WeightSource,
  backend: Backend,
  options: LoadModelOptions = {},
): Promise<LoadedLanguageModel> {
  const { skipBelow, initialState, ...loading } = options;
  const skipping = skipBelow === undefined ? null : startSkipping(architecture, skipBelow);
  const definition = architecture.createModel(architecture.parseConfig(json));
  const renamed: WeightSource = renameEntries(source, architecture.canonicalName);
  const loaded = await loadParameters(definition.parameters, renamed, backend, loading);
  try {
    return new LoadedLanguageModel(definition, loaded, backend, skipping, initialState);
  } catch (error) {
    for (const weight of loaded.all) backend.freeWeight(weight);
    throw error;
  }
}

function renameEntries(source: WeightSource, rename: (name: string) => string): WeightSource {
  const original = new Map<string, string>();
  const entries = new Map(
    [...source.entries.values()].map((entry) => {
      const name = rename(entry.name);
      original.set(name, entry.name);
      return [name, { ...entry, name }] as const;
    }),
  );
  return { entries, read: (name, signal) => source.read(original.get(name)!, signal) };
}
