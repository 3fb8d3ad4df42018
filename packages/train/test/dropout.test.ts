import { philox4x32 } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';
import { backpropagate, initialParameters, Tape, TrainableModel } from '../src/index.ts';
import { trainableFixture } from './fixture.ts';

const mask = { seed: 2 ** 40 + 3, step: 7, site: 2 };

test('dropout keeps what Philox says, scaled by 1 / (1 - rate); its gradient goes through the same mask', async () => {
  const backend = createReferenceBackend();
  const x = backend.upload(new Float32Array(15).fill(2), [3, 5]);
  const y = await backend.read(backend.dropout(x, 0.25, mask));
  const words = new Uint32Array(16);
  for (let block = 0; block < 4; block++)
    philox4x32([block, 2, 7, 0], [3, 2 ** 8], words.subarray(4 * block, 4 * block + 4));
  const expected = Float32Array.from(y, (_, e) => (words[e]! / 2 ** 32 < 0.25 ? 0 : 2 / 0.75));
  expect(y).toEqual(expected);
  expect(y).toContain(0);
  const dx = backend.zeros([3, 5]);
  backend.dropoutBackward(0.25, mask, x, dx);
  expect(await backend.read(dx)).toEqual(expected);
  for (const rate of [-0.1, 1, Number.NaN]) {
    expect(() => backend.dropout(x, rate, mask)).toThrow(expect.objectContaining({ code: 'ARGUMENT' }));
  }
  backend.dispose();
});

test('the share that is dropped is the rate, for another site or step another mask', async () => {
  const backend = createReferenceBackend();
  const x = backend.upload(new Float32Array(40_000).fill(1), [100, 400]);
  const masks = [mask, { ...mask, site: 3 }, { ...mask, step: 8 }, { ...mask, seed: 1 }];
  const results = await Promise.all(masks.map((each) => backend.read(backend.dropout(x, 0.25, each))));
  for (const values of results) {
    const share = values.filter((value) => value === 0).length / 40_000;
    expect(Math.abs(share - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / 40_000));
  }
  for (let i = 1; i < results.length; i++) {
    const both = results[0]!.filter((value, e) => value === 0 && results[i]![e] === 0).length / 40_000;
    expect(Math.abs(both - 0.0625)).toBeLessThan(0.007); // independent
  }
  backend.dispose();
});

test('a tape drops the branches of residuals, and its gradient is that of the thinned model within 1e-6', async () => {
  const backend = createReferenceBackend({ precision: 'f64' });
  const model = await trainableFixture('mamba/plain', backend);
  const slot = backend.createSlot(model.definition.state.length);
  const ids = Int32Array.from({ length: 9 }, (_, i) => (5 * i * i + 3) % 97);
  const batch = {
    ids,
    targets: ids.map((id) => (id + 1) % 97),
    segments: [{ start: 0, length: 9, slot, reset: true }],
  };
  const dropout = { rate: 0.25, seed: 5, step: 1 };
  const loss = async (back: boolean, with_ = dropout): Promise<number> => {
    const tape = new Tape(backend, { dropout: with_ });
    const losses = model.losses(tape, batch);
    const values = await backend.readExact(tape.value(losses));
    if (back) tape.backward(losses, backend.upload(new Float64Array(9).fill(1), [9, 1]));
    tape.dispose();
    backend.endStep();
    return values.reduce((sum, value) => sum + value, 0);
  };
  const same = await loss(true);
  expect(await loss(false)).toBe(same);
  expect(await loss(false, { ...dropout, step: 2 })).not.toBe(same);
  expect(await loss(false, { ...dropout, rate: 0 })).not.toBe(same);
  const { weight, values } = model.parameters.get('backbone.layers.0.mixer.out_proj.weight')!;
  const gradient = await backend.readGradientExact(weight);
  const exact = Float64Array.from(values);
  const direction = exact.map((_, i) => Math.sin(i));
  const shifted = async (step: number): Promise<number> => {
    backend.writeWeight(
      weight,
      exact.map((value, i) => value + step * direction[i]!),
    );
    return loss(false);
  };
  const difference = ((await shifted(1e-5)) - (await shifted(-1e-5))) / 2e-5;
  const slope = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
  expect(Math.abs(slope - difference)).toBeLessThanOrEqual(1e-6 * Math.abs(difference));
  backend.dispose();
});

test('initial values follow from the seed and are those of the layers', async () => {
  const backend = createReferenceBackend();
  const { definition } = await trainableFixture('mamba/plain', backend);
  const [one, same, other] = [1, 1, 2].map((seed) => initialParameters(definition.parameters, seed));
  expect(one).toEqual(same);
  expect(one).not.toEqual(other);
  expect(one!.get('backbone.layers.0.mixer.A_log')!.slice(0, 3)).toEqual(Float32Array.from([1, 2, 3], Math.log));
  const width = Math.sqrt(1 / 24);
  const drawn = one!.get('backbone.layers.0.mixer.in_proj.weight')!;
  expect(drawn.every((value) => Math.abs(value) <= width)).toBe(true);
  const variance = drawn.reduce((sum, value) => sum + value * value, 0) / drawn.length;
  expect(Math.abs(variance / (width ** 2 / 3) - 1)).toBeLessThan(0.1);
  const model = await TrainableModel.create(definition, one!, backend);
  const slot = backend.createSlot(definition.state.length);
  const ids = Int32Array.of(1, 2, 3);
  const { nats } = await backpropagate(model, {
    ids,
    targets: ids,
    segments: [{ start: 0, length: 3, slot, reset: true }],
  });
  expect(nats / 3).toBeGreaterThan(3);
  expect(nats / 3).toBeLessThan(6);
  backend.dispose();
});
