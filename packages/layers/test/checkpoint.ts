import { findArchitecture, type LoadedLanguageModel, loadLanguageModel, type State } from '@mamba-ts/layers';
import { type CheckpointSource, memoryFolder, memorySource, openModel, openSafetensors } from '@mamba-ts/loaders';
import { type Backend, decodeToF32 } from '@mamba-ts/tensor';
import { loadFixture } from '../../../fixtures/load.ts';

/** The models of fixtures/ (see the tables in fixtures/README.md). */
export const FIXTURES: readonly string[] = [
  'mamba/plain',
  'mamba/state-1',
  'mamba/state-8',
  'mamba/state-15',
  'mamba/state-17',
  'mamba/expand-3',
  'mamba/bf16-shards',
  'mamba/f16',
  'mamba/original',
  'mamba/original-ssm-cfg',
  'mamba/original-mlp',
  'mamba/falcon',
  'mamba/falcon-bias',
  'mamba2/plain',
  'mamba2/groups',
  'mamba2/group-per-head',
  'mamba2/original',
  'mamba2/original-mlp',
  'mamba2/original-no-norm',
  'mamba3/siso',
  'mamba3/siso-norm',
  'mamba3/mimo',
  'mamba3/mimo-norm',
  'gpt_neox/plain',
  'gpt_neox/serial',
  'gpt_neox/odd-turn',
  'llama/plain',
  'llama/grouped',
  'llama/one-key',
];

/** Printed where a fixture disagrees. */
export const REMAKE = 'fixtures are made by the scripts that fixtures/README.md names';

export interface Expected {
  readonly ids: Int32Array;
  readonly stepIds: Int32Array;
  /** Row-major f32 by tensor name. */
  readonly values: (name: string) => Promise<Float32Array>;
}

/** A bare name is one of fixtures/mamba. */
const folderOf = (name: string): string => (name.includes('/') ? name : `mamba/${name}`);

const filesOf = (name: string): string[] => [
  'config.json',
  ...(name.endsWith('bf16-shards')
    ? ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json']
    : ['model.safetensors']),
];

export async function openFixture(
  name: string,
): Promise<{ config: Record<string, unknown>; weights: CheckpointSource }> {
  const files: Record<string, Uint8Array> = {};
  for (const file of filesOf(name)) files[file] = await loadFixture(`${folderOf(name)}/${file}`);
  const { config, weights } = await openModel(memoryFolder(name, files));
  return { config: config as Record<string, unknown>, weights };
}

export async function loadFixtureModel(name: string, backend: Backend): Promise<LoadedLanguageModel> {
  const { config, weights } = await openFixture(name);
  return loadLanguageModel(await findArchitecture(config), config, weights, backend);
}

export async function expectedOf(name: string): Promise<Expected> {
  const bytes = await loadFixture(`${folderOf(name)}/expected.safetensors`);
  const file = await openSafetensors(memorySource('expected.safetensors', bytes));
  const raw = (tensor: string): Uint8Array => {
    const found = [...file.tensors.values()].find((entry) => entry.name === tensor);
    if (!found) throw new Error(`${name}: no ${tensor}; ${REMAKE}`);
    return bytes.slice(file.dataStart + found.begin, file.dataStart + found.end);
  };
  const ints = (tensor: string): Int32Array => new Int32Array(raw(tensor).buffer);
  return { ids: ints('ids'), stepIds: ints('step_ids'), values: async (tensor) => decodeToF32(raw(tensor), 'f32') };
}

/** The state's values, the block and then the rows: what `save` writes between its header and its checksum. */
export async function valuesOf(model: LoadedLanguageModel, state: State): Promise<Float32Array> {
  const bytes = await state.save();
  const { layout } = model.stateOwner;
  const length = layout.length + state.position * layout.rowLength;
  return new Float32Array(bytes.slice(bytes.length - 4 - 4 * length, bytes.length - 4).buffer);
}

/** Largest absolute difference. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`);
  let max = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i]! - b[i]!);
    if (!(difference <= max)) max = difference;
  }
  return max;
}

/** max - min. */
export function spread(values: ArrayLike<number>): number {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    low = Math.min(low, values[i]!);
    high = Math.max(high, values[i]!);
  }
  return high - low;
}
