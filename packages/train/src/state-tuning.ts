import type { ModelDefinition } from '@mamba-ts/layers';
import { MambaError, type ParameterSpec, type Slot, type Tensor, type TrainingBackend, vector } from '@mamba-ts/tensor';
import type { Batch } from './batch.ts';
import { type ParameterValues, TrainableModel } from './model.ts';
import type { Tape } from './tape.ts';
import type { Trainable } from './trainable.ts';

/** The name of the one parameter of {@link StateTuning}. */
export const INITIAL_STATE = 'initial_state';

/**
 * State tuning: the weights stay, and the state that every text begins with is trained, of all layers together. It starts as
 * the zeros that a text begins with otherwise.
 */
export class StateTuning implements Trainable {
  readonly parameters: ReadonlyMap<string, { readonly spec: ParameterSpec; readonly values: Float32Array }>;
  readonly #model: TrainableModel;
  readonly #values: Float32Array;
  readonly #gradient: Float32Array;
  /** One for each document of a pass, so that each has a gradient of its own. */
  readonly #slots: Slot[] = [];
  #used = 0;

  private constructor(model: TrainableModel) {
    const { length } = model.definition.state;
    this.#model = model;
    this.#values = new Float32Array(length);
    this.#gradient = new Float32Array(length);
    this.parameters = new Map([[INITIAL_STATE, { spec: vector(INITIAL_STATE, [length]), values: this.#values }]]);
  }

  /** Throws `TUNE_STATE` for a Transformer, which begins with no state, and what `TrainableModel.createFrozen` throws. */
  static async create(
    definition: ModelDefinition,
    base: ParameterValues,
    backend: TrainingBackend,
  ): Promise<StateTuning> {
    if (definition.state.length === 0) {
      throw new MambaError(
        'TUNE_STATE',
        `a ${definition.modelType} begins a text with no state that could be tuned. Take --method lora`,
        { model: definition.modelType },
      );
    }
    return new StateTuning(await TrainableModel.createFrozen(definition, base, backend));
  }

  /** Of the model whose state is trained. */
  get definition(): ModelDefinition {
    return this.#model.definition;
  }

  /** The backend that holds the frozen model. */
  get backend(): TrainingBackend {
    return this.#model.backend;
  }

  losses(tape: Tape, batch: Batch): Tensor {
    this.#used = 0;
    const current = new Map<Slot, Slot>();
    const segments = batch.segments.map((segment) => {
      if (segment.reset) current.set(segment.slot, this.#begin());
      return { ...segment, slot: current.get(segment.slot) ?? segment.slot, reset: false };
    });
    return this.#model.losses(tape, { ...batch, segments });
  }

  async collect(tape: Tape): Promise<void> {
    for (const slot of this.#slots.slice(0, this.#used)) {
      const part = await this.backend.readSlot(tape.stateGradient(slot));
      for (let i = 0; i < part.length; i++) this.#gradient[i]! += part[i]!;
    }
  }

  async gradient(): Promise<Float32Array> {
    return this.#gradient.slice();
  }

  zeroGradients(): void {
    this.#gradient.fill(0);
  }

  /** Nothing to hand over: each text takes the values as it begins. */
  update(): void {}

  dispose(): void {
    for (const slot of this.#slots.splice(0)) this.backend.freeSlot(slot);
    this.#model.dispose();
  }

  /** A slot with the tuned state in it. */
  #begin(): Slot {
    const { length, caches } = this.definition.state;
    if (this.#used === this.#slots.length) this.#slots.push(this.backend.createSlot(length, caches));
    const slot = this.#slots[this.#used++]!;
    this.backend.writeSlot(slot, this.#values);
    return slot;
  }
}
