import { createWasmTrainingBackend } from '@mamba-ts/kernels';
import { type ConfigJson, findArchitecture, type ModelDefinition } from '@mamba-ts/layers';
import { memoryFolder, memorySource, type OpenedModel, openModel, openSafetensors } from '@mamba-ts/loaders';
import { decodeToF32, type Segment, type Slot, type TrainingBackend } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { loadFixture } from '../../../fixtures/load.ts';
import { type Batch, initialParameters, NO_TARGET, readParameters, TrainableModel } from '../src/index.ts';

/** Backends that can train, in f32. */
export const BACKENDS: Readonly<Record<string, () => Promise<TrainingBackend>>> = {
  reference: async () => createReferenceBackend(),
  'wasm-simd': () => createWasmTrainingBackend({ build: 'simd' }),
  'wasm-relaxed': () => createWasmTrainingBackend({ build: 'relaxed' }),
};

/** The models of fixtures/ whose gradients are checked: every architecture, every variant of a layer. */
export const FIXTURES: readonly string[] = [
  'mamba/plain',
  'mamba/state-1',
  'mamba/state-15',
  'mamba/original-mlp',
  'mamba/falcon',
  'mamba/falcon-bias',
  'mamba2/plain',
  'mamba2/groups',
  'mamba2/original-mlp',
  'mamba2/original-no-norm',
  'mamba3/siso',
  'mamba3/siso-norm',
  'mamba3/mimo-norm',
  'gpt_neox/plain',
  'gpt_neox/serial',
  'llama/grouped',
  'llama/one-key',
];

/** A model of fixtures/ as its files give it. */
export async function openFixture(name: string): Promise<OpenedModel> {
  const files: Record<string, Uint8Array> = {};
  for (const file of ['config.json', 'model.safetensors']) files[file] = await loadFixture(`${name}/${file}`);
  return openModel(memoryFolder(name, files));
}

/** The same with what trains it: its definition, and its weights in f32. */
export async function fixtureParameters(
  name: string,
): Promise<{ definition: ModelDefinition; base: Map<string, Float32Array> }> {
  const { config, weights } = await openFixture(name);
  const architecture = await findArchitecture(config);
  const definition = architecture.createModel(architecture.parseConfig(config as ConfigJson));
  return { definition, base: await readParameters(architecture, definition, weights) };
}

/** A model of fixtures/ on a backend that can train. */
export async function trainableFixture(name: string, backend: TrainingBackend): Promise<TrainableModel> {
  const { definition, base } = await fixtureParameters(name);
  return TrainableModel.create(definition, base, backend);
}

/** The name of a small Mamba-1 without selection, which no fixture of transformers can be. */
export const TIME_INVARIANT = 'mamba without selection';

/** That model, with values drawn from a seed. */
export async function timeInvariantModel(backend: TrainingBackend): Promise<TrainableModel> {
  const config = {
    model_type: 'mamba',
    selective: false,
    vocab_size: 23,
    hidden_size: 6,
    num_hidden_layers: 2,
    state_size: 3,
    time_step_rank: 2,
  };
  const architecture = await findArchitecture(config);
  const definition = architecture.createModel(architecture.parseConfig(config));
  const values = initialParameters(definition.parameters, 5);
  // Delta's own part begins as zeros, where dt_proj has no gradient.
  for (const [name, each] of values) if (name.endsWith('x_proj.bias')) each.set([0.3, -0.2]);
  return TrainableModel.create(definition, values, backend);
}

/** The tensors of a safetensors file of fixtures/, f32 or i32, as numbers. */
export async function fixtureTensors(path: string): Promise<Map<string, Float64Array>> {
  const bytes = await loadFixture(path);
  const file = await openSafetensors(memorySource(path, bytes));
  return new Map(
    [...file.tensors.values()].map(({ name, dtype, begin, end }) => {
      const raw = bytes.slice(file.dataStart + begin, file.dataStart + end);
      const values = String(dtype).toLowerCase() === 'i32' ? new Int32Array(raw.buffer) : decodeToF32(raw, 'f32');
      return [name, Float64Array.from(values)];
    }),
  );
}

/** Three documents in two sequences: one goes on from a state, one begins, and one begins behind it in the same slot. */
export function testBatch(
  model: TrainableModel,
  lengths: readonly [number, number, number],
  slots: readonly Slot[],
): Batch {
  const total = lengths[0] + lengths[1] + lengths[2];
  const { vocabSize } = model.definition;
  const ids = Int32Array.from({ length: total + 1 }, (_, i) => (i * i * 7 + i * 3 + 5) % vocabSize);
  const [going, other] = slots as [Slot, Slot];
  const starts = [0, lengths[0], lengths[0] + lengths[1]];
  const segments: Segment[] = [
    { start: starts[0]!, length: lengths[0], slot: going, reset: false, position: 0 },
    { start: starts[1]!, length: lengths[1], slot: other, reset: true, position: 0 },
    { start: starts[2]!, length: lengths[2], slot: other, reset: true, position: 0 },
  ];
  const targets = ids.slice(1);
  targets[starts[1]! - 1] = NO_TARGET;
  targets[2] = NO_TARGET;
  return { ids: ids.slice(0, total), targets, segments };
}
