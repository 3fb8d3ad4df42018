import { openAdapter } from '../../packages/loaders/src/adapter/file.ts';
import { addLowRank, mergedSource } from '../../packages/loaders/src/adapter/merge.ts';
import { memorySource } from '../../packages/loaders/src/byte-source.ts';
import { memoryFolder } from '../../packages/loaders/src/folder.ts';
import { openSafetensors } from '../../packages/loaders/src/safetensors/file.ts';
import { safetensorsWeights } from '../../packages/loaders/src/weights.ts';
import { isMambaError, MambaError, readToF32 } from '../../packages/tensor/src/index.ts';
import type { Target } from '../fuzz.ts';
import { parseTree } from '../json-tree.ts';
import { mutateJson, treeOf, type Vocabulary } from '../mutate-json.ts';
import type { Random } from '../random.ts';
import { fileOf as safetensorsOf } from './safetensors.ts';

type Tensors = readonly (readonly [name: string, dtype: string, shape: readonly number[]])[];

/** An adapter: its config as text, its tensors, and what its metadata says of the weights beneath. */
interface Content {
  readonly config: string;
  readonly tensors: Tensors;
  readonly base: string;
}

/** A sound safetensors file, of small numbers in each type: its own reader has a target of its own. */
const weightsOf = (tensors: Tensors, base: string): Uint8Array =>
  safetensorsOf(
    Object.fromEntries(tensors.map(([name, dtype, shape]) => [name, [dtype, shape]])),
    { base_weights: base },
    0x3c,
  );

/** The length of the config in 4 bytes, the config, the weights. */
function fileOf({ config, tensors, base }: Content): Uint8Array {
  const [text, weights] = [new TextEncoder().encode(config), weightsOf(tensors, base)];
  const out = new Uint8Array(4 + text.length + weights.length);
  new DataView(out.buffer).setUint32(0, text.length, true);
  out.set(text, 4);
  out.set(weights, 4 + text.length);
  return out;
}

function parts(file: Uint8Array): { config: Uint8Array; weights: Uint8Array } {
  const length = file.length < 4 ? 0 : new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  return { config: file.subarray(4, 4 + length), weights: file.subarray(4 + length) };
}

const MODEL: Tensors = [
  ['layers.0.in_proj.weight', 'F32', [6, 4]],
  ['layers.0.out_proj.weight', 'F16', [4, 6]],
  ['norm.weight', 'F32', [4]],
];
const model = safetensorsWeights([await openSafetensors(memorySource('model', weightsOf(MODEL, '{}')))]);

/** A_k [rank, inputs] and B_k [outputs, rank] of one matrix. */
const pair = (module: string, rank: number, inputs: number, outputs: number, dtype = 'F32'): Tensors => [
  [`base_model.model.${module}.lora_A.weight`, dtype, [rank, inputs]],
  [`base_model.model.${module}.lora_B.weight`, dtype, [outputs, rank]],
];

const configOf = (r: number, more: object = {}): string =>
  JSON.stringify({ peft_type: 'LORA', r, lora_alpha: 16, target_modules: ['in_proj'], bias: 'none', ...more });

const SEEDS: readonly Content[] = [
  { config: configOf(2), tensors: pair('layers.0.in_proj', 2, 4, 6), base: '{}' },
  {
    config: configOf(1, { use_rslora: true, init_lora_weights: 'gaussian', rank_pattern: {}, modules_to_save: null }),
    tensors: [...pair('layers.0.in_proj', 1, 4, 6, 'F16'), ...pair('layers.0.out_proj', 1, 6, 4, 'BF16')],
    base: 'null',
  },
];
const TREES = SEEDS.map(({ config }) => treeOf(config));

const WORDS: Vocabulary = {
  keys: (
    'peft_type r lora_alpha bias use_rslora use_dora use_qalora fan_in_fan_out lora_bias modules_to_save rank_pattern ' +
    'alpha_pattern layer_replication trainable_token_indices target_parameters init_lora_weights use_bdlora'
  )
    .split(' ')
    .map((field) => `"${field}"`),
  values: ['"LORA"', '"IA3"', '"none"', '"all"', '"gaussian"', '"pissa"', '["embed"]', '{"in_proj":4}', '1', '2'],
};

const NAMES = [
  'base_model.model.layers.0.out_proj.lora_A.weight',
  'base_model.model.layers.0.in_proj.lora_B.weight',
  'base_model.model.layers.0.in_proj.lora_embedding_A',
  'base_model.model.norm.lora_A.weight',
  'base_model.model.__proto__.lora_A.weight',
  'layers.0.in_proj.weight',
];
const BASES = [
  '',
  '[',
  '5',
  '{"layers.0.in_proj.weight":"0123456789abcdef"}',
  '{"layers.0.in_proj.weight":7}',
  '{"__proto__":1}',
];

/** Other tensors: one left out, twice, renamed, of another type or shape. */
function otherTensors(random: Random, tensors: Tensors): Tensors {
  const at = random.below(tensors.length);
  const [name, dtype, shape] = tensors[at]!;
  const others = tensors.filter((_, i) => i !== at);
  const kind = random.below(5);
  if (kind === 0) return others;
  if (kind === 1) return [...others, [random.pick(NAMES.filter((n) => !others.some(([o]) => o === n))), dtype, shape]];
  if (kind === 2) return [...others, [name, random.pick(['F64', 'I8', 'U8', 'I64', 'BOOL', 'F16']), shape]];
  if (kind === 3) return [];
  const axes = random.pick([[], [0], [0, 0], [1, 4], [2, 0], [4, 2], [2, 4, 1], [65_536, 1], [7, 2], [2, 5]]);
  return [...others, [name, dtype, axes]];
}

function mutate(random: Random, seed: number): Uint8Array {
  const { config, tensors, base } = SEEDS[seed]!;
  const kind = random.next();
  if (kind < 0.6) {
    const text = new TextDecoder().decode(mutateJson(random, TREES[seed]!, WORDS));
    return fileOf({ config: text, tensors, base: random.chance(0.1) ? random.pick(BASES) : base });
  }
  const other = random.chance(0.9) ? otherTensors(random, tensors) : tensors;
  return fileOf({ config, tensors: other, base: random.chance(0.3) ? random.pick(BASES) : base });
}

async function read(file: Uint8Array): Promise<void> {
  const { config, weights } = parts(file);
  const folder = memoryFolder('adapter', { 'adapter_config.json': config, 'adapter_model.safetensors': weights });
  try {
    const adapter = await openAdapter(folder);
    const merged = mergedSource(model, adapter);
    for (const [name, update] of adapter.updates) {
      const { inputs, outputs, rank, a, b } = update;
      if (a.length !== rank * inputs || b.length !== outputs * rank) throw new Error(`${name} is of no matrix`);
      const [own, sum] = [await readToF32(model, name), await readToF32(merged, name)];
      addLowRank(own, 0, update);
      if (own.length !== sum.length) throw new Error(`${name} is merged into ${sum.length} of ${own.length} values`);
    }
  } catch (error) {
    // What the reader beneath refuses is refused.
    if (isMambaError(error) && error.code.startsWith('SAFETENSORS_'))
      throw new MambaError('ADAPTER_TENSOR', error.message);
    throw error;
  }
}

export const adapter: Target = {
  name: 'adapter',
  codes: [
    ...['CONFIG_SIZE', 'CONFIG_JSON', 'CONFIG', 'KIND', 'TENSOR', 'BASE'].map((code) => `ADAPTER_${code}`),
    // Of a sum that the weight's type cannot hold.
    'TENSOR_RANGE',
  ],
  seeds: SEEDS.map(fileOf),
  mutate,
  large: [() => fileOf({ ...SEEDS[0]!, config: `${SEEDS[0]!.config}${' '.repeat(1 << 20)}` })],
  structure(file) {
    const { config, weights } = parts(file);
    const length =
      weights.length < 8 ? 0 : Number(new DataView(weights.buffer, weights.byteOffset).getBigUint64(0, true));
    const header = new TextDecoder().decode(weights.subarray(8, 8 + Math.min(length, weights.length)));
    const tree = parseTree(new TextDecoder().decode(config));
    return tree && `${tree.canonical} ${header}`;
  },
  fixture: /^no file of its own$/,
  declaredLength: (file) => file.length,
  read,
};
