import type { Segment } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';
import { type Batch, backpropagate, NO_TARGET, Tape, type TrainableModel } from '../src/index.ts';
import { BACKENDS, trainableFixture } from './fixture.ts';

const document = (model: TrainableModel, seed: number, length: number): Pick<Batch, 'ids' | 'targets'> => {
  const ids = Int32Array.from({ length: length + 1 }, (_, i) => (i * i + 3 * i + seed) % model.definition.vocabSize);
  return { ids: ids.slice(0, length), targets: ids.slice(1) };
};

async function gradients(model: TrainableModel): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const name of model.parameters.keys()) found.set(name, await model.gradient(name));
  return found;
}

const MODELS = ['mamba/plain', 'mamba2/groups', 'mamba3/siso', 'llama/grouped'];

test.each(Object.keys(BACKENDS).flatMap((on) => MODELS.map((name) => [on, name] as const)))(
  '%s, %s: packed documents give the gradient of the documents alone, in one slot or in two, within 1e-5 of the largest',
  async (on, name) => {
    const backend = await BACKENDS[on]!();
    const model = await trainableFixture(name, backend);
    const { length, caches } = model.definition.state;
    const newSlot = () => {
      const slot = backend.createSlot(length, caches);
      backend.reserveRows(slot, 40);
      return slot;
    };
    const documents = [document(model, 5, 11), document(model, 8, 40)];
    const scale = 1 / 51;
    for (const { ids, targets } of documents) {
      const segments = [{ start: 0, length: ids.length, slot: newSlot(), reset: true }];
      await backpropagate(model, { ids, targets, segments }, scale);
    }
    const alone = await gradients(model);

    const [one, other] = [newSlot(), newSlot()];
    for (const second of [one, other]) {
      model.zeroGradients();
      const segments: Segment[] = [
        { start: 0, length: 11, slot: one, reset: true },
        { start: 11, length: 40, slot: second, reset: true },
      ];
      const join = (key: 'ids' | 'targets') => Int32Array.from(documents.flatMap((part) => [...part[key]]));
      const { count } = await backpropagate(model, { ids: join('ids'), targets: join('targets'), segments });
      expect(count).toBe(51);
      for (const [parameter, values] of await gradients(model)) {
        const expected = alone.get(parameter)!;
        const largest = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        const worst = expected.reduce((max, value, i) => Math.max(max, Math.abs(value - values[i]!)), 0);
        expect(worst, parameter).toBeLessThanOrEqual(1e-5 * largest);
      }
    }
    backend.dispose();
  },
);

test('a step against the gradient lowers the loss, of A_log too, which is used as -exp(A_log)', async () => {
  const backend = createReferenceBackend();
  const model = await trainableFixture('mamba/plain', backend);
  const { ids, targets } = document(model, 5, 20);
  const slot = backend.createSlot(model.definition.state.length);
  const batch = { ids, targets, segments: [{ start: 0, length: ids.length, slot, reset: true }] };
  for (const name of ['backbone.layers.0.mixer.A_log', 'backbone.embeddings.weight']) {
    model.zeroGradients();
    const before = await backpropagate(model, batch);
    const gradient = await model.gradient(name);
    const { values } = model.parameters.get(name)!;
    const size = Math.hypot(...gradient);
    for (const [i, slope] of gradient.entries()) values[i]! -= (0.01 * slope) / size;
    model.update(name);
    const after = await backpropagate(model, batch);
    const predicted = 0.01 * size;
    expect((before.nats - after.nats) / before.count, name).toBeGreaterThan(0.8 * predicted);
    expect((before.nats - after.nats) / before.count, name).toBeLessThan(1.2 * predicted);
  }
  backend.dispose();
});

test('nothing is left behind: slots, weights and gradients are counted and given back', async () => {
  const backend = createReferenceBackend();
  const model = await trainableFixture('llama/grouped', backend);
  const { length, caches } = model.definition.state;
  const slot = backend.createSlot(length, caches);
  backend.reserveRows(slot, 20);
  const before = backend.memory();
  const { ids, targets } = document(model, 1, 20);
  await backpropagate(model, { ids, targets, segments: [{ start: 0, length: 20, slot, reset: true }] });
  expect(backend.memory()).toEqual(before);
  model.dispose();
  expect(backend.memory().weights).toBe(0);
  backend.dispose();
});

test('what has no meaning is refused: a batch without targets, targets outside the vocabulary, logits on a tape', async () => {
  const backend = createReferenceBackend();
  const model = await trainableFixture('mamba/plain', backend);
  const slot = backend.createSlot(model.definition.state.length);
  const segments = [{ start: 0, length: 2, slot, reset: true }];
  const ids = Int32Array.of(1, 2);
  const none = backpropagate(model, { ids, targets: Int32Array.of(NO_TARGET, NO_TARGET), segments });
  await expect(none).rejects.toMatchObject({ code: 'ARGUMENT' });
  const outside = backpropagate(model, { ids, targets: Int32Array.of(model.definition.vocabSize, 1), segments });
  await expect(outside).rejects.toMatchObject({ code: 'TOKEN_ID' });
  await expect(model.gradient('nothing')).rejects.toMatchObject({ code: 'MISSING_TENSOR' });
  const { ops } = new Tape(backend);
  expect(() => ops.logits(null as never, null as never, ids, 1)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }));
  backend.dispose();
});
