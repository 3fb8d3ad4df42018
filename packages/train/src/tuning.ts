import type { ModelDefinition } from '@mamba-ts/layers';
import type { TrainingBackend } from '@mamba-ts/tensor';
import { initialParameters } from './initial.ts';
import { type LoraOptions, loraPairs } from './lora.ts';
import { type ParameterValues, TrainableModel } from './model.ts';
import { StateTuning } from './state-tuning.ts';
import type { Trainable } from './trainable.ts';

/** What of a model is trained: all of it, low-rank updates that start from `seed`, or the state that texts begin with. */
export type Tuning =
  | { readonly method: 'full' }
  | ({ readonly method: 'lora'; readonly seed: number } & LoraOptions)
  | { readonly method: 'state' };

/**
 * A model that starts from `values` on `backend`, as far as it is trained. The same arguments give the same start
 * anywhere. Throws what `TrainableModel.create`, `loraPairs` and `StateTuning.create` throw.
 */
export async function createTrainable(
  definition: ModelDefinition,
  values: ParameterValues,
  backend: TrainingBackend,
  tuning: Tuning = { method: 'full' },
): Promise<Trainable> {
  if (tuning.method === 'full') return TrainableModel.create(definition, values, backend);
  if (tuning.method === 'state') return StateTuning.create(definition, values, backend);
  const pairs = loraPairs(definition, tuning);
  const start = initialParameters(
    pairs.map(({ a, b }) => [a, b]),
    tuning.seed,
  );
  return TrainableModel.createFrozen(definition, values, backend, pairs, start);
}
