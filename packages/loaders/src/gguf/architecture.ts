import type { ConfigFields } from './config-fields.ts';
import type { Fields } from './fields.ts';
import type { GgufTensor } from './header.ts';
import type { RowOrder } from './weights.ts';
import type { GgufField } from './write.ts';

export type Tensors = ReadonlyMap<string, GgufTensor>;

/** What a tensor of the file is to the model, and how it lies there. */
export interface Mapped {
  /** In the Hugging Face layout, behind the layer's prefix. */
  readonly name: string;
  /** The file holds the values in use, A = -exp(A_log), instead of what the Hugging Face layout has. */
  readonly asUsed?: true;
  readonly order?: RowOrder;
  /** The axes that a vector of this length has in the file, where there are several. */
  readonly axes?: (length: number) => readonly number[];
}

/** By name in the file. A text stands for a tensor that is the same on both sides. */
export type Table = Readonly<Record<string, string | Mapped>>;

/** One general.architecture: names as in llama.cpp's llama-arch.cpp, orders as in its convert_hf_to_gguf.py. */
export interface GgufArchitecture {
  /** The `model_type`s of config.json that it stands for. */
  readonly modelTypes: readonly string[];
  readonly whole: Table;
  /** Of each layer, behind `blk.N.`. */
  layer(fields: Fields): Table;
  readonly layerPrefix: string;
  /** The tensor, if any, that holds what the frequencies of rotary embedding are divided by: no weight, but configuration. */
  readonly ropeFactors?: string;
  /** What goes into it; null where frequencies are as they are. Throws `GGUF_CONFIG`. */
  factors?(config: ConfigFields): Float32Array | null;
  /** config.json, from the metadata. */
  config(fields: Fields, tensors: Tensors): Record<string, unknown>;
  /** The metadata of the architecture, without its name before each key, from config.json. Throws `GGUF_CONFIG`. */
  metadata(config: ConfigFields): Record<string, GgufField>;
}
