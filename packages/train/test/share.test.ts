import { findArchitecture } from '@mamba-ts/layers';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';
import {
  initialParameters,
  memoryTokens,
  type ShareResult,
  ShareRunner,
  sharesOf,
  type Team,
  TrainableModel,
  Trainer,
  type TrainingOptions,
} from '../src/index.ts';

const config = { model_type: 'mamba', vocab_size: 11, hidden_size: 8, num_hidden_layers: 2 };
const text = memoryTokens(Int32Array.from({ length: 400 }, (_, i) => (i % 37 === 0 ? 0 : 1 + ((i * i) % 7))));
const OPTIONS: TrainingOptions = {
  sequences: 5,
  length: 12,
  separator: 0,
  seed: 5,
  rate: 0.02,
  warmup: 2,
  shape: 'cosine',
  accumulate: 2,
  dropout: 0.2,
};

async function newModel(): Promise<TrainableModel> {
  const architecture = await findArchitecture(config);
  const definition = architecture.createModel(architecture.parseConfig(config));
  return TrainableModel.create(definition, initialParameters(definition.parameters, 3), createReferenceBackend());
}

/** Members with models of their own, who finish in any order. */
async function teamOf(count: number): Promise<Team> {
  const members = await Promise.all(Array.from({ length: count }, async () => new ShareRunner(await newModel())));
  return {
    async run(shares) {
      const results: ShareResult[] = new Array(shares.length);
      const order = [...shares.keys()].reverse();
      await Promise.all(
        members.map(async (member) => {
          for (let own = order.pop(); own !== undefined; own = order.pop())
            results[own] = await member.run(shares[own]!);
        }),
      );
      return results;
    },
    // As if they were sent: copies.
    update(values) {
      for (const member of members) member.update(new Map([...values].map(([name, value]) => [name, value.slice()])));
    },
    dispose() {
      for (const member of members) member.dispose();
    },
  };
}

async function train(team?: Team): Promise<{ bits: Record<string, number[]>; losses: number[] }> {
  const model = await newModel();
  const trainer = new Trainer(model, text, 4, OPTIONS, team);
  const losses: number[] = [];
  for (let step = 0; step < 4; step++) losses.push((await trainer.advance()).nats_per_token);
  const bits = Object.fromEntries(trainer.weights().map(({ name, data }) => [name, [...(data as Uint8Array)]]));
  trainer.dispose();
  return { bits, losses };
}

test('a run has the same bits alone and with a team of any size', async () => {
  const alone = await train();
  for (const count of [1, 2, 3]) expect(await train(await teamOf(count))).toEqual(alone);
});

test('a batch is cut into whole sequences, each row once, with masks of their own', () => {
  const slots = Array.from({ length: 5 }, () => ({ length: 1, caches: [], rows: 0, bytes: 4 }));
  const ids = Int32Array.from({ length: 15 }, (_, i) => i);
  // Sequence 1 has two documents.
  const segments = [
    { start: 0, length: 3, slot: slots[0]!, reset: true },
    { start: 3, length: 1, slot: slots[1]!, reset: true },
    { start: 4, length: 2, slot: slots[1]!, reset: true },
    { start: 6, length: 3, slot: slots[2]!, reset: true },
    { start: 9, length: 3, slot: slots[3]!, reset: true },
    { start: 12, length: 3, slot: slots[4]!, reset: true },
  ];
  const mask = (step: number) => ({ rate: 0.1, seed: 1, step });
  const shares = sharesOf({ ids, targets: ids, segments }, 4, 0.5, mask);
  expect(shares.map((share) => [...share.ids])).toEqual([
    [0, 1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10, 11],
    [12, 13, 14],
  ]);
  expect(shares[0]!.segments.map(({ start, length, slot }) => [start, length, slot])).toEqual([
    [0, 3, 0],
    [3, 1, 1],
    [4, 2, 1],
  ]);
  expect(shares.map(({ scale, dropout }) => [scale, dropout!.step])).toEqual([
    [0.5, 0],
    [0.5, 1],
    [0.5, 2],
  ]);
});
