import { findArchitecture } from '@mamba-ts/layers';
import {
  createTrainable,
  initialParameters,
  memoryTokens,
  type Team,
  Trainer,
  type TrainingOptions,
  type Tuning,
} from '@mamba-ts/train';
import { createTrainingBackend } from 'mamba-ts';
import { createTrainingTeam } from 'mamba-ts/node';
import { expect, test } from 'vitest';

const config = { model_type: 'mamba', vocab_size: 11, hidden_size: 8, num_hidden_layers: 1 };
const text = memoryTokens(Int32Array.from({ length: 400 }, (_, i) => (i * i) % 11));
const OPTIONS: TrainingOptions = {
  sequences: 4,
  length: 16,
  separator: null,
  seed: 5,
  rate: 0.02,
  warmup: 1,
  shape: 'cosine',
  accumulate: 2,
};

async function train(threads: number, tuning: Tuning): Promise<Record<string, number[]>> {
  const architecture = await findArchitecture(config);
  const definition = architecture.createModel(architecture.parseConfig(config));
  const values = initialParameters(definition.parameters, 3);
  const backend = await createTrainingBackend('wasm-simd');
  const model = await createTrainable(definition, values, backend, tuning);
  const team: Team | undefined =
    threads > 1 ? await createTrainingTeam(threads, { config, backend: 'wasm-simd', values, tuning }) : undefined;
  const trainer = new Trainer(model, text, 3, OPTIONS, team);
  for (let step = 0; step < 3; step++) await trainer.advance();
  const bits = Object.fromEntries(trainer.weights().map(({ name, data }) => [name, [...(data as Uint8Array)]]));
  trainer.dispose();
  backend.dispose();
  return bits;
}

const TUNINGS: readonly Tuning[] = [
  { method: 'full' },
  { method: 'lora', seed: 1, rank: 2, alpha: 4, targets: ['in_proj', 'out_proj'] },
  { method: 'state' },
];

test.each(TUNINGS)('$method: worker threads train to the same bits as one thread alone', async (tuning) => {
  const alone = await train(1, tuning);
  expect(await train(2, tuning)).toEqual(alone);
});

test('what a worker throws arrives as it is, and ends the team', async () => {
  const work = { config, backend: 'wasm-simd', values: new Map<string, Float32Array>() } as const;
  await expect(createTrainingTeam(2, work)).rejects.toMatchObject({ code: 'MISSING_TENSOR' });
});
