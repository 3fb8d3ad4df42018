import type { ConfigJson } from './architecture.ts';
import { absent, consistent, flag, MAX_LAYERS, object, oneOf, positive, size, tokenIds } from './config.ts';

/** What the config.json files of all Mamba generations say alike. */
export interface StackConfig {
  /** Ids 0..vocabSize-1 exist. */
  readonly vocabSize: number;
  /** Rows of the embedding; at least `vocabSize`. */
  readonly paddedVocabSize: number;
  /** Blocks. */
  readonly nLayer: number;
  /** Width of the residual stream. */
  readonly dModel: number;
  /** Width of the gated MLP behind each mixer; 0 for none. */
  readonly dIntermediate: number;
  /** Epsilon of the norms between the blocks. */
  readonly normEps: number;
  /** The embedding is the output matrix too. */
  readonly tieEmbeddings: boolean;
  /** Ids that end a text; may be none. */
  readonly eosTokenIds: readonly number[];
  /** The id that begins a text, or null. */
  readonly bosTokenId: number | null;
}

/** Whether a config.json is in the dialect of state-spaces/mamba rather than that of transformers. */
export const isOriginal = (json: ConfigJson): boolean => json.hidden_size === undefined && json.d_model !== undefined;

/** The mixer that an original config.json names: `Mamba1` where it names none; null where the dialect is another. */
export function originalLayer(json: ConfigJson): unknown {
  return isOriginal(json) ? (object(json, 'ssm_cfg').layer ?? 'Mamba1') : null;
}

function tokens(json: ConfigJson, vocabSize: number): Pick<StackConfig, 'eosTokenIds' | 'bosTokenId'> {
  return {
    eosTokenIds: tokenIds(json, 'eos_token_id', vocabSize),
    bosTokenId: tokenIds(json, 'bos_token_id', vocabSize)[0] ?? null,
  };
}

/** transformers (configuration_mamba.py and those after it); each has its own default of `tie_word_embeddings`. */
export function huggingFaceStack(json: ConfigJson, tiedByDefault: boolean): StackConfig {
  const vocabSize = size(json, 'vocab_size');
  oneOf(json, 'hidden_act', ['silu', 'swish']);
  return {
    vocabSize,
    paddedVocabSize: vocabSize,
    nLayer: size(json, 'num_hidden_layers', undefined, MAX_LAYERS),
    dModel: size(json, 'hidden_size'),
    dIntermediate: 0,
    normEps: positive(json, 'layer_norm_epsilon', 1e-5),
    tieEmbeddings: flag(json, 'tie_word_embeddings', tiedByDefault),
    ...tokens(json, vocabSize),
  };
}

/** state-spaces/mamba MambaConfig (models/config_mamba.py); the mixer's own fields are in `ssm_cfg`. */
export function originalStack(json: ConfigJson): StackConfig {
  const vocabSize = size(json, 'vocab_size');
  const multiple = size(json, 'pad_vocab_size_multiple', 8);
  oneOf(json, 'rms_norm', [true]);
  absent(json, 'attn_layer_idx', 'no layers of attention');
  // modules/mlp.py rounds the width up to a multiple of 128.
  const dIntermediate = json.d_intermediate === 0 ? 0 : size(json, 'd_intermediate', 0);
  return {
    vocabSize,
    paddedVocabSize: Math.ceil(vocabSize / multiple) * multiple,
    nLayer: size(json, 'n_layer', undefined, MAX_LAYERS),
    dModel: size(json, 'd_model'),
    dIntermediate: Math.ceil(dIntermediate / 128) * 128,
    normEps: positive(json, 'norm_epsilon', 1e-5),
    tieEmbeddings: flag(json, 'tie_embeddings', true),
    ...tokens(json, vocabSize),
  };
}

/**
 * What `huggingFaceStack` reads, from any dialect: a file of that dialect keeps its other fields. Throws `CONFIG` where the
 * dialect has no words for it.
 */
export function huggingFaceStackJson(json: ConfigJson, c: StackConfig): ConfigJson {
  consistent(c.dIntermediate === 0, 'the Hugging Face layout knows no MLP behind the mixers (d_intermediate)');
  return {
    ...(isOriginal(json) ? {} : json),
    ...huggingFaceTokens(c),
    vocab_size: c.paddedVocabSize,
    hidden_size: c.dModel,
    num_hidden_layers: c.nLayer,
    layer_norm_epsilon: c.normEps,
    hidden_act: 'silu',
    residual_in_fp32: json.residual_in_fp32 ?? true,
    tie_word_embeddings: c.tieEmbeddings,
  };
}

/** The ids that end and begin a text, where there are such. */
export function huggingFaceTokens(c: Pick<StackConfig, 'eosTokenIds' | 'bosTokenId'>): ConfigJson {
  const [first, ...more] = c.eosTokenIds;
  return {
    ...(first === undefined ? {} : { eos_token_id: more.length > 0 ? c.eosTokenIds : first }),
    ...(c.bosTokenId === null ? {} : { bos_token_id: c.bosTokenId }),
  };
}

/** `expand`, of which `expanded` makes just this width again: the width is rounded down, so half a channel more does. */
export function expandFor(dInner: number, dModel: number): number {
  const exact = dInner / dModel;
  return Math.floor(exact * dModel) === dInner ? exact : (dInner + 0.5) / dModel;
}

/** The canonical (Hugging Face) name of a tensor of a stack. */
export function canonicalName(name: string): string {
  return name === 'backbone.embedding.weight' ? 'backbone.embeddings.weight' : name;
}
