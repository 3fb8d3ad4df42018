import { createWasmBackend } from '@mamba-ts/kernels';
import { decodeToF32, vector, type WeightSource } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';
import { expectedOf, loadFixtureModel, maxDifference, openFixture, spread } from './checkpoint.ts';

async function floats(source: WeightSource, name: string): Promise<Float32Array> {
  const pieces = [];
  for await (const piece of source.read(name)) pieces.push(...piece);
  return decodeToF32(Uint8Array.from(pieces), source.entries.get(name)!.dtype);
}

test('what a layer shows reproduces its y within 1e-5 of the range, by the f64 reference scan', async () => {
  const backend = await createWasmBackend();
  const model = await loadFixtureModel('state-15', backend);
  const { weights } = await openFixture('state-15');
  const { ids } = await expectedOf('state-15');
  const values = await model.observe(ids, model.createState());
  expect([...values.keys()]).toEqual(
    [0, 1].flatMap((i) =>
      ['u', 'delta', 'B', 'C', 'gate', 'y', 'A', 'D', 'deltaBias'].map((name) => `layers.${i}.${name}`),
    ),
  );
  const exact = createReferenceBackend({ precision: 'f64' });
  for (const i of [0, 1]) {
    const parameter = async (name: string, map: (value: number) => number = (value) => value) => {
      const raw = await floats(weights, `backbone.layers.${i}.mixer.${name}`);
      const { shape } = weights.entries.get(`backbone.layers.${i}.mixer.${name}`)!;
      return exact.loadExact(vector(name, shape), Float64Array.from(raw, map));
    };
    const tensor = (name: string) => {
      const { shape, values: copy } = values.get(`layers.${i}.${name}`)!;
      return exact.upload(copy, [shape[0]!, shape[1]!]);
    };
    const A = await parameter('A_log', (value) => -Math.exp(value));
    expect(values.get(`layers.${i}.A`)).toEqual({ shape: A.shape, values: await exact.readWeight(A) });
    const [channels, states] = A.shape as [number, number];
    const slot = exact.createSlot(channels * states);
    const y = exact.selectiveScan(
      tensor('u'),
      tensor('delta'),
      A,
      tensor('B'),
      tensor('C'),
      await parameter('D'),
      tensor('gate'),
      await parameter('dt_proj.bias'),
      true,
      { name: 'ssm', shape: A.shape, offset: 0 },
      [{ start: 0, length: ids.length, slot, reset: true }],
    );
    const shown = values.get(`layers.${i}.y`)!.values;
    expect(maxDifference(await exact.readExact(y), shown)).toBeLessThanOrEqual(1e-5 * spread(shown));
  }
  backend.dispose();
});

test('observing moves the state as forward does, to the bit', async () => {
  const backend = await createWasmBackend();
  const model = await loadFixtureModel('plain', backend);
  const { ids } = await expectedOf('plain');
  const [watched, alone] = [model.createState(), model.createState()];
  await model.observe(ids, watched);
  await model.forward(ids, alone, 'none');
  expect(await watched.save()).toEqual(await alone.save());
  backend.dispose();
});
