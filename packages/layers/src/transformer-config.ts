import type { ConfigJson } from './architecture.ts';
import type { AttentionConfig } from './attention-layer.ts';
import { consistent, flag, MAX_LAYERS, positive, size, tokenIds } from './config.ts';
import { ropeFrequencies, ropeParameters } from './rope.ts';
import { huggingFaceTokens, type StackConfig } from './stack-config.ts';

/** What the config.json files of Transformers say alike. */
export interface TransformerConfig extends StackConfig, AttentionConfig {
  readonly contextLength: number;
}

/** In what their defaults and the names of their fields differ. */
export interface TransformerDialect {
  readonly normEps: { readonly field: string; readonly fallback: number };
  readonly attentionBias: boolean;
  /** Share of a head's columns that turn. */
  readonly rotary: number;
  /** Whether queries may share keys, and heads may be of another width than dModel / heads. */
  readonly grouped: boolean;
}

/** transformers configuration_llama.py, configuration_gpt_neox.py. */
export function parseTransformer(json: ConfigJson, d: TransformerDialect): TransformerConfig {
  const vocabSize = size(json, 'vocab_size');
  const dModel = size(json, 'hidden_size');
  const heads = size(json, 'num_attention_heads');
  const keyHeads = d.grouped ? size(json, 'num_key_value_heads', heads) : heads;
  consistent(
    heads % keyHeads === 0,
    `num_attention_heads = ${heads} is not divisible by num_key_value_heads = ${keyHeads}`,
  );
  const given = d.grouped && json.head_dim !== undefined && json.head_dim !== null;
  consistent(
    given || dModel % heads === 0,
    `hidden_size = ${dModel} is not divisible by num_attention_heads = ${heads}`,
  );
  const headDim = given ? size(json, 'head_dim') : dModel / heads;
  return {
    vocabSize,
    paddedVocabSize: vocabSize,
    nLayer: size(json, 'num_hidden_layers', undefined, MAX_LAYERS),
    dModel,
    dIntermediate: size(json, 'intermediate_size'),
    normEps: positive(json, d.normEps.field, d.normEps.fallback),
    tieEmbeddings: flag(json, 'tie_word_embeddings', false),
    eosTokenIds: tokenIds(json, 'eos_token_id', vocabSize),
    bosTokenId: tokenIds(json, 'bos_token_id', vocabSize)[0] ?? null,
    heads,
    keyHeads,
    headDim,
    attentionBias: flag(json, 'attention_bias', d.attentionBias),
    frequencies: ropeFrequencies(json, headDim, d.rotary),
    contextLength: size(json, 'max_position_embeddings', 2048),
  };
}

/**
 * What `parseTransformer` reads, with every field that matters in it. Rotary embedding is said as transformers 5 does, and
 * its base as older versions do too. `rotary` as in the dialect.
 */
export function transformerJson(json: ConfigJson, c: TransformerConfig, rotary: number): ConfigJson {
  const rope = ropeParameters(json, rotary);
  return {
    ...json,
    ...huggingFaceTokens(c),
    vocab_size: c.vocabSize,
    hidden_size: c.dModel,
    num_hidden_layers: c.nLayer,
    num_attention_heads: c.heads,
    intermediate_size: c.dIntermediate,
    max_position_embeddings: c.contextLength,
    rope_parameters: rope,
    rope_theta: rope.rope_theta,
    attention_bias: c.attentionBias,
    tie_word_embeddings: c.tieEmbeddings,
  };
}
