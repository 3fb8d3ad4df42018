import { GGML_TYPES } from './types.ts';

/** What a file is said to be of: most of its matrices are of this type, or of a mixture that has its name. */
export type GgufDType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'q4_k' | 'q5_k' | 'q6_k';

/**
 * `general.file_type` (llama.h `enum llama_ftype`): MOSTLY_Q4_K_M and MOSTLY_Q5_K_M for q4_k and q5_k, which are the usual
 * mixtures of those names.
 */
export const FILE_TYPES: Readonly<Record<GgufDType, number>> = {
  f32: 0,
  f16: 1,
  q4_0: 2,
  q8_0: 7,
  q4_k: 15,
  q5_k: 17,
  q6_k: 18,
  bf16: 32,
};

/** What takes a type's place where rows do not divide into its blocks. */
const FALLBACK: Readonly<Record<string, string>> = { q4_k: 'q5_0', q5_k: 'q5_1', q6_k: 'q8_0' };

const BLOCK: ReadonlyMap<string, number> = new Map([...GGML_TYPES.values()].map(({ name, block }) => [name, block]));
const divides = (type: string, columns: number): boolean => columns % BLOCK.get(type)! === 0;

/** Of a model as a whole. */
export interface MixtureOf {
  readonly dtype: GgufDType;
  readonly layers: number;
  /** The embedding is the output matrix too. */
  readonly tied: boolean;
}

/**
 * The type of one tensor of a file, as llama.cpp's llama-quant.cpp chooses it. Vectors, norms, convolutions, A and D stay
 * f32. The output matrix, and the embedding where it is one, are q6_k in files of fewer bits; in q4_k and q5_k so are the
 * value and down projections of the layers at both ends and of each third one between.
 */
export function ggufTypeOf(name: string, shape: readonly number[], { dtype, layers, tied }: MixtureOf): string {
  const matrix = shape.length === 2 && /(?<!_norm|ssm_conv1d)\.weight$/.test(name);
  if (!matrix) return 'f32';
  if (!dtype.startsWith('q')) return dtype;
  const columns = shape[1]!;
  let type: string = dtype;
  if (name === 'output.weight' || (tied && name === 'token_embd.weight')) {
    if (!divides(dtype, columns)) type = 'q8_0';
    else if (dtype !== 'q8_0') type = 'q6_k';
  } else if (dtype === 'q4_k' || dtype === 'q5_k') {
    const sensitive = /^blk\.(\d+)\.(?:attn_v|attn_qkv|ffn_down)\.weight$/.exec(name);
    if (sensitive && hasMoreBits(Number(sensitive[1]), layers)) type = 'q6_k';
  }
  if (!divides(type, columns)) type = FALLBACK[type] ?? 'f16';
  return divides(type, columns) ? type : 'f16';
}

function hasMoreBits(layer: number, layers: number): boolean {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}
