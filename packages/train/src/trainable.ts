import type { ModelDefinition } from '@mamba-ts/layers';
import type { ParameterSpec, Tensor, TrainingBackend } from '@mamba-ts/tensor';
import type { Batch } from './batch.ts';
import type { Tape } from './tape.ts';

/** What a training changes, on a backend: all weights of a model, updates of some, or the state that a text begins with. */
export interface Trainable {
  readonly definition: ModelDefinition;
  readonly backend: TrainingBackend;
  /** What a step changes, by name; values as a file holds them. */
  readonly parameters: ReadonlyMap<string, { readonly spec: ParameterSpec; readonly values: Float32Array }>;
  /** Nats of each target of the batch, `[targets, 1]`, recorded on the tape. */
  losses(tape: Tape, batch: Batch): Tensor;
  /** Called after the walk backward, while the tape still has its states: takes up gradients that no weight keeps. */
  collect?(tape: Tape): Promise<void>;
  /** The gradient of one parameter's values. A copy. */
  gradient(name: string): Promise<Float32Array>;
  /** All gradients become zero. */
  zeroGradients(): void;
  /** Hands the values of one parameter to the backend, after they were changed. */
  update(name: string): void;
  /** Gives its memory back. */
  dispose(): void;
}
