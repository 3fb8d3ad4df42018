import type { ConfigJson } from '../../packages/layers/src/architecture.ts';
import { findArchitecture } from '../../packages/layers/src/find-architecture.ts';
import { listParameters } from '../../packages/layers/src/parameters.ts';
import { registry } from '../../packages/layers/src/registry.generated.ts';
import { memorySource } from '../../packages/loaders/src/byte-source.ts';
import { readJsonObject } from '../../packages/loaders/src/json-file.ts';
import { CONFIG_BYTES } from '../../packages/loaders/src/model.ts';
import type { Target } from '../fuzz.ts';
import { type JsonNode, printTree } from '../json-tree.ts';
import { jsonLength, jsonStructure, mutateJson, treeOf } from '../mutate-json.ts';

/** Every architecture of the registry, by its published sizes: a new one is attacked as soon as it is there. */
const PRESETS: readonly object[] = (await Promise.all(registry.map(({ load }) => load()))).flatMap(
  ({ presets, modelTypes }) => {
    const sizes = Object.values(presets);
    // The other dialects of an architecture begin where only the type and sizes are given.
    const plain = modelTypes.map((model_type) => ({
      model_type,
      hidden_size: 64,
      num_hidden_layers: 2,
      vocab_size: 96,
      eos_token_id: [0, 1],
      bos_token_id: 0,
      tie_word_embeddings: true,
    }));
    return [...new Map(sizes.map((size) => [Object.keys(size).join(), size])).values(), ...plain];
  },
);

const TREES: readonly JsonNode[] = PRESETS.map((preset) => treeOf(JSON.stringify(preset)));

/** Every field name that some seed or reader knows, so that each is tried in each dialect. */
const FIELDS = [
  ...new Set([
    ...PRESETS.flatMap((preset) => Object.keys(preset)),
    ...(
      'model_type hidden_size num_hidden_layers vocab_size pad_vocab_size_multiple expand intermediate_size state_size ' +
      'conv_kernel time_step_rank use_bias use_conv_bias layer_norm_epsilon mixer_rms_eps tie_word_embeddings hidden_act ' +
      'num_heads n_groups head_dim time_step_limit ssm_cfg d_model n_layer d_intermediate d_state d_conv dt_rank headdim ' +
      'ngroups d_ssm layer is_mimo mimo_rank rope_fraction A_floor A_activation dt_limit rmsnorm norm_before_gate D_has_hdim ' +
      'rms_norm attn_layer_idx attn_cfg norm_epsilon tie_embeddings eos_token_id bos_token_id num_attention_heads ' +
      'num_key_value_heads num_experts num_experts_per_tok layers_block_type attention_bias max_position_embeddings ' +
      'sliding_window rope_theta rope_scaling moe_intermediate_size shared_intermediate_size'
    ).split(' '),
  ]),
];

const WORDS = {
  keys: FIELDS.map((field) => `"${field}"`),
  values: [
    ...registry.flatMap(({ modelTypes }) => modelTypes).map((type) => `"${type}"`),
    ...['"Mamba1"', '"Mamba2"', '"Mamba3"', '"silu"', '"auto"', '"heavy_tail"', '"softplus"', '"attention"', '"mamba"'],
    ...[
      '{"layer":"Mamba2"}',
      '{"layer":"Mamba3","is_mimo":true}',
      '{"d_state":16777216}',
      '{"expand":1e300}',
      '[0,1e999]',
    ],
  ],
};

const large = (over: object): (() => Uint8Array) => {
  const text = JSON.stringify({ ...PRESETS[0], ...over });
  return () => new TextEncoder().encode(text);
};

async function read(file: Uint8Array): Promise<void> {
  await checkConfig(await readJsonObject(memorySource('config.json', file), 'CONFIG', CONFIG_BYTES));
}

/** What must hold of a model that a config describes, whatever the config: sizes that a backend can be asked for. */
export async function checkConfig(json: unknown): Promise<void> {
  const architecture = await findArchitecture(json);
  const model = architecture.createModel(architecture.parseConfig(json as ConfigJson));
  const isSize = (value: number): boolean => Number.isSafeInteger(value) && value >= 1;
  let parameters = 0;
  for (const { name, shape } of listParameters(model.parameters)) {
    const elements = shape.reduce((product, axis) => product * axis, 1);
    if (!shape.every(isSize) || !isSize(elements)) throw new Error(`parameter ${name} has the shape [${shape}]`);
    parameters += elements;
  }
  if (!isSize(parameters)) throw new Error(`${parameters} parameters in all`);
  let end = 0;
  for (const { name, shape, offset } of model.state.fields) {
    const elements = shape.reduce((product, axis) => product * axis, 1);
    if (offset < end || !Number.isSafeInteger(elements)) throw new Error(`state ${name} is [${shape}] at ${offset}`);
    end = offset + elements;
  }
  if (end > model.state.length || model.state.length > 2 ** 31) throw new Error(`a state of ${model.state.length}`);
  if (!isSize(model.vocabSize)) throw new Error(`a vocabulary of ${model.vocabSize}`);
  for (const id of [...model.eosTokenIds, ...(model.bosTokenId === null ? [] : [model.bosTokenId])]) {
    if (!Number.isInteger(id) || id < 0 || id >= model.vocabSize) throw new Error(`the token id ${id}`);
  }
  for (const length of [1, 512]) {
    if (!Number.isFinite(model.sequenceOperations(length))) throw new Error('operations that cannot be counted');
  }
}

export const config: Target = {
  name: 'config',
  codes: ['CONFIG_JSON', 'CONFIG_SIZE', 'CONFIG', 'MODEL_TYPE'],
  seeds: TREES.map((tree) => new TextEncoder().encode(printTree(tree))),
  mutate: (random, seed) => mutateJson(random, TREES[seed]!, WORDS),
  large: [
    large({ note: 'x'.repeat(1 << 20) }),
    large({ n_layer: 2 ** 24, d_model: 1, vocab_size: 1 }),
    large({ num_hidden_layers: 2 ** 24, hidden_size: 2 ** 24, vocab_size: 2 ** 24, model_type: 'mamba' }),
    large({ eos_token_id: Array(300_000).fill(1) }),
    large({ layers_block_type: Array(80_000).fill('mamba') }),
  ],
  structure: jsonStructure,
  fixture: /^config\.json$/,
  declaredLength: jsonLength,
  read,
};
