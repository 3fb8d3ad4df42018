import { matrix, vector } from '@mamba-ts/tensor';
import { type Architecture, type ConfigJson, defineModel, type ModelDefinition, under } from '../architecture.ts';
import { flag, object, oneOf, positive, size, tokenIds } from '../config.ts';
import {
  type MambaMixerConfig,
  mambaMixer,
  mambaMixerOperations,
  mambaMixerParameters,
  mambaMixerState,
} from '../mamba-mixer.ts';
import { StateLayoutBuilder } from '../state-layout.ts';

/** Mamba-1 (Gu & Dao 2023): a stack of pre-norm residual blocks, each `x + mixer(rmsNorm(x))`. */
interface MambaConfig extends MambaMixerConfig {
  readonly vocabSize: number;
  /** Rows of the embedding; at least `vocabSize`. */
  readonly paddedVocabSize: number;
  readonly nLayer: number;
  readonly normEps: number;
  readonly tieEmbeddings: boolean;
  readonly eosTokenIds: readonly number[];
  readonly bosTokenId: number | null;
}

/** dt_rank: a number, or "auto" = ceil(d_model / 16). */
function rank(json: ConfigJson, field: string, dModel: number): number {
  const auto = Math.ceil(dModel / 16);
  return json[field] === 'auto' ? auto : size(json, field, auto);
}

function tokens(json: ConfigJson, vocabSize: number): Pick<MambaConfig, 'eosTokenIds' | 'bosTokenId'> {
  return {
    eosTokenIds: tokenIds(json, 'eos_token_id', vocabSize),
    bosTokenId: tokenIds(json, 'bos_token_id', vocabSize)[0] ?? null,
  };
}

/** transformers MambaConfig (configuration_mamba.py). */
function parseHuggingFace(json: ConfigJson): MambaConfig {
  const dModel = size(json, 'hidden_size');
  const vocabSize = size(json, 'vocab_size');
  oneOf(json, 'hidden_act', ['silu', 'swish']);
  return {
    vocabSize,
    paddedVocabSize: vocabSize,
    nLayer: size(json, 'num_hidden_layers'),
    dModel,
    dInner: size(json, 'intermediate_size', Math.floor(positive(json, 'expand', 2) * dModel)),
    dState: size(json, 'state_size', 16),
    dConv: size(json, 'conv_kernel', 4),
    dtRank: rank(json, 'time_step_rank', dModel),
    bias: flag(json, 'use_bias', false),
    convBias: flag(json, 'use_conv_bias', true),
    normEps: positive(json, 'layer_norm_epsilon', 1e-5),
    tieEmbeddings: flag(json, 'tie_word_embeddings', true),
    ...tokens(json, vocabSize),
  };
}

/** state-spaces/mamba MambaConfig (models/config_mamba.py, modules/mamba_simple.py). */
function parseOriginal(json: ConfigJson): MambaConfig {
  const dModel = size(json, 'd_model');
  const vocabSize = size(json, 'vocab_size');
  const multiple = size(json, 'pad_vocab_size_multiple', 8);
  const ssm = object(json, 'ssm_cfg');
  oneOf(json, 'rms_norm', [true]);
  oneOf(json, 'd_intermediate', [0]);
  return {
    vocabSize,
    paddedVocabSize: Math.ceil(vocabSize / multiple) * multiple,
    nLayer: size(json, 'n_layer'),
    dModel,
    dInner: Math.floor(positive(ssm, 'expand', 2) * dModel),
    dState: size(ssm, 'd_state', 16),
    dConv: size(ssm, 'd_conv', 4),
    dtRank: rank(ssm, 'dt_rank', dModel),
    bias: flag(ssm, 'bias', false),
    convBias: flag(ssm, 'conv_bias', true),
    normEps: positive(json, 'norm_epsilon', 1e-5),
    tieEmbeddings: flag(json, 'tie_embeddings', true),
    ...tokens(json, vocabSize),
  };
}

function createModel(c: MambaConfig): ModelDefinition {
  const layout = new StateLayoutBuilder();
  const indices = Array.from({ length: c.nLayer }, (_, i) => i);
  const states = indices.map((i) => mambaMixerState(c, layout, `layers.${i}`));
  const normal = (_: number, uniform: () => number) => 0.02 * Math.sqrt(12) * (uniform() - 0.5);
  return defineModel({
    modelType: 'mamba',
    vocabSize: c.vocabSize,
    eosTokenIds: c.eosTokenIds,
    bosTokenId: c.bosTokenId,
    state: layout,
    parameters: {
      embedding: matrix('backbone.embeddings.weight', [c.paddedVocabSize, c.dModel], normal),
      layers: indices.map((i) => ({
        norm: vector(`backbone.layers.${i}.norm.weight`, [c.dModel], { init: () => 1 }),
        mixer: mambaMixerParameters(c, `backbone.layers.${i}.mixer`),
      })),
      finalNorm: vector('backbone.norm_f.weight', [c.dModel], { init: () => 1 }),
      head: c.tieEmbeddings ? null : matrix('lm_head.weight', [c.paddedVocabSize, c.dModel]),
    },
    hidden(ops, w, ids, segments, observe) {
      let x = ops.embedding(ids, w.embedding); // [T, dModel]
      for (const [i, layer] of w.layers.entries()) {
        const normed = ops.rmsNorm(x, layer.norm, c.normEps);
        x = ops.add(x, mambaMixer(ops, layer.mixer, c, normed, states[i]!, segments, under(`layers.${i}`, observe)));
      }
      return ops.rmsNorm(x, w.finalNorm, c.normEps);
    },
    sequenceOperations: (length) => length * c.nLayer * mambaMixerOperations(c),
    embedding: (w) => w.embedding,
    head: (w) => w.head ?? w.embedding,
  });
}

/** The published sizes of state-spaces/mamba, in the original dialect. */
const preset = (d_model: number, n_layer: number): ConfigJson => ({
  d_model,
  n_layer,
  vocab_size: 50277,
  pad_vocab_size_multiple: 8,
});

export const architecture: Architecture<MambaConfig> = {
  modelTypes: ['mamba'],
  recognizes: (json) => json.d_model !== undefined && (object(json, 'ssm_cfg').layer ?? 'Mamba1') === 'Mamba1',
  parseConfig: (json) =>
    json.hidden_size === undefined && json.d_model !== undefined ? parseOriginal(json) : parseHuggingFace(json),
  canonicalName: (name) => (name === 'backbone.embedding.weight' ? 'backbone.embeddings.weight' : name),
  createModel,
  presets: {
    'mamba-130m': preset(768, 24),
    'mamba-370m': preset(1024, 48),
    'mamba-790m': preset(1536, 48),
    'mamba-1.4b': preset(2048, 48),
    'mamba-2.8b': preset(2560, 64),
  },
};
