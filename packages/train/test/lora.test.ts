import { findArchitecture } from '@mamba-ts/layers';
import {
  adapterConfigText,
  adapterContent,
  memoryFolder,
  mergedSource,
  openAdapter,
  writeSafetensors,
} from '@mamba-ts/loaders';
import { describe, expect, test } from 'vitest';
import {
  backpropagate,
  createTrainable,
  defaultTargets,
  type LoraOptions,
  loraPairs,
  lowRankUpdates,
  Tape,
  TrainableModel,
} from '../src/index.ts';
import { compareParameters, meanLoss, prepare, random } from './differences.ts';
import { BACKENDS, fixtureParameters, openFixture, testBatch, trainableFixture } from './fixture.ts';

/** A factor of 2, which f32 multiplies by without rounding. */
const LORA: Omit<LoraOptions, 'targets'> = { rank: 3, alpha: 6 };
const EACH = ['mamba/plain', 'mamba/falcon-bias', 'mamba2/groups', 'mamba3/siso', 'gpt_neox/plain', 'llama/grouped'];

/** A fixture whose updates are not zero, as after some training, and what they are. */
async function adapted(name: string, backend: Parameters<typeof trainableFixture>[1]) {
  const { definition, base } = await fixtureParameters(name);
  const options = { ...LORA, targets: defaultTargets(definition) };
  const pairs = loraPairs(definition, options);
  const uniform = random(11);
  const values = new Map(
    pairs
      .flatMap(({ a, b }) => [a, b])
      .map(({ name, shape }) => [name, Float32Array.from({ length: shape[0]! * shape[1]! }, () => 0.2 * uniform())]),
  );
  const model = await TrainableModel.createFrozen(definition, base, backend, pairs, values);
  return { model, options, updates: lowRankUpdates(pairs, options, base, values) };
}

describe('gradients of low-rank updates in f64 equal central differences within 1e-6', () => {
  test.each(EACH)('%s', async (name) => {
    const c = await prepare(name, async (fixture, backend) => (await adapted(fixture, backend)).model);
    const tape = new Tape(c.backend);
    await meanLoss(c, tape, true);
    tape.dispose();
    expect(c.model.parameters.size).toBeGreaterThan(0);
    await compareParameters(c);
    c.backend.dispose();
  });
});

describe('merged into the weights, updates give the same losses within 1e-4 nats', () => {
  const cases = EACH.flatMap((name) => ['reference', 'wasm-simd'].map((backend) => [name, backend] as const));
  test.each(cases)('%s on %s', async (name, on) => {
    const backend = await BACKENDS[on]!();
    const { model, options, updates } = await adapted(name, backend);
    const { tensors, metadata } = adapterContent(updates);
    const pieces: Uint8Array[] = [];
    for await (const piece of writeSafetensors(tensors, metadata)) pieces.push(piece.slice());
    const adapter = await openAdapter(
      memoryFolder('adapter', {
        'adapter_config.json': new TextEncoder().encode(adapterConfigText({ ...options, base: null })),
        'adapter_model.safetensors': new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer()),
      }),
    );
    const { config, weights } = await openFixture(name);
    const architecture = await findArchitecture(config);
    const source = mergedSource(weights, adapter, architecture.canonicalName);
    const merged = await TrainableModel.load(architecture, config as Record<string, unknown>, source, backend);
    const plain = await trainableFixture(name, backend);
    const losses: Float32Array[] = [];
    for (const each of [model, merged, plain]) {
      const { length, caches } = each.definition.state;
      const slots = [backend.createSlot(length, caches), backend.createSlot(length, caches)];
      for (const slot of slots) backend.reserveRows(slot, 20);
      const tape = new Tape(backend);
      losses.push(await backend.read(tape.value(each.losses(tape, testBatch(each, [20, 6, 1], slots)))));
      tape.dispose();
      backend.endStep();
    }
    const [updated, once, without] = losses as [Float32Array, Float32Array, Float32Array];
    const most = (from: Float32Array): number => Math.max(...from.map((value, i) => Math.abs(value - updated[i]!)));
    expect(most(once)).toBeLessThanOrEqual(1e-4);
    expect(most(without)).toBeGreaterThan(0.01);
    backend.dispose();
  });
});

describe('createTrainable', () => {
  test('lora: starts as the model itself, trains nothing but the updates, and the same seed starts the same', async () => {
    const backend = await BACKENDS['wasm-simd']!();
    const { definition, base } = await fixtureParameters('mamba/plain');
    const before = new Map([...base].map(([name, values]) => [name, values.slice()]));
    const tuning = { method: 'lora', seed: 4, ...LORA, targets: ['in_proj', 'mixer.dt_proj'] } as const;
    const model = await createTrainable(definition, base, backend, tuning);
    expect([...model.parameters.keys()]).toEqual(
      [0, 1].flatMap((layer) =>
        ['in_proj.lora_A', 'in_proj.lora_B', 'dt_proj.lora_A', 'dt_proj.lora_B'].map(
          (each) => `backbone.layers.${layer}.mixer.${each}.weight`,
        ),
      ),
    );
    const again = await createTrainable(definition, base, backend, tuning);
    for (const [name, { values }] of model.parameters) expect(again.parameters.get(name)!.values).toEqual(values);
    const slots = [0, 1].map(() => backend.createSlot(definition.state.length));
    const plain = await trainableFixture('mamba/plain', backend);
    const batch = testBatch(plain, [20, 6, 1], slots);
    const loss = async (each: typeof model) => {
      for (const slot of slots) backend.writeSlot(slot, new Float32Array(definition.state.length));
      return (await backpropagate(each, batch)).nats;
    };
    expect(await loss(model)).toBe(await loss(plain));
    for (let step = 0; step < 5; step++) {
      model.zeroGradients();
      await loss(model);
      for (const [name, { values }] of model.parameters) {
        const gradient = await model.gradient(name);
        for (let i = 0; i < values.length; i++) values[i]! -= 0.3 * gradient[i]!;
        model.update(name);
      }
    }
    expect((await loss(plain)) - (await loss(model))).toBeGreaterThan(0.1);
    expect(base).toEqual(before);
    backend.dispose();
  });

  test('a target that no layer has, and a rank that is none', async () => {
    const { definition } = await fixtureParameters('llama/grouped');
    expect(() => loraPairs(definition, { ...LORA, targets: ['q_proj', 'in_proj'] })).toThrow(
      /no layer of this model is called "in_proj"; there are q_proj, k_proj/,
    );
    // The embedding is no product, and half a name none.
    for (const target of ['embed_tokens', 'proj', '']) {
      expect(() => loraPairs(definition, { ...LORA, targets: [target] })).toThrow(/no layer/);
    }
    expect(() => loraPairs(definition, { rank: 0, alpha: 1, targets: ['q_proj'] })).toThrow(/rank/);
  });
});
