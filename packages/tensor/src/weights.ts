import type { DType } from './dtype.ts';

/**
 * What a layer asks for. `matrix`: `[outputs, inputs]`, kept in the dtype of the file and packed as the backend's
 * kernels like it; serves `linear`, `logits` and `embedding` alike, so that a tied embedding is stored once.
 * `vector`: everything small (biases, norms, conv taps, A, D): converted to f32 once, natural row-major order.
 */
export interface ParameterSpec {
  readonly kind: 'parameter';
  /** Canonical name: the Hugging Face tensor name. Loaders map the names of other layouts to it. */
  readonly name: string;
  /** `linear`, `logits` and `embedding` take a matrix; all else is a vector. */
  readonly role: 'matrix' | 'vector';
  /** As used. A file's shape may differ by axes of length 1 (conv1d is `[channels, 1, taps]` in files). */
  readonly shape: readonly number[];
  /** Applied to each element of a `vector` in f64 as it is loaded: `A = -exp(A_log)`. */
  readonly map?: (value: number) => number;
  /** The derivative of `map` at a value as a file holds it: training changes those. */
  readonly slope?: (value: number) => number;
  /** The initial value, as a file holds it (before `map`), of the element at a row-major index. */
  readonly init: Initializer;
}

/** Initial value of the element at a row-major index; `uniform()` draws from [0, 1). */
export type Initializer = (index: number, uniform: () => number) => number;

/** A `matrix` parameter, `[outputs, inputs]`; unless told otherwise it starts as U(+-1 / sqrt(inputs)), as PyTorch's. */
export function matrix(
  name: string,
  shape: readonly [outputs: number, inputs: number],
  init: Initializer = (_, uniform) => (2 * uniform() - 1) / Math.sqrt(shape[1]),
): ParameterSpec {
  return { kind: 'parameter', name, role: 'matrix', shape, init };
}

/** A `vector` parameter of any shape; unless told otherwise it starts as zeros. */
export function vector(
  name: string,
  shape: readonly number[],
  options: Pick<ParameterSpec, 'map' | 'slope'> & { readonly init?: Initializer } = {},
): ParameterSpec {
  return { kind: 'parameter', name, role: 'vector', shape, init: () => 0, ...options };
}

/** A loaded parameter: opaque to layers, owned by the backend that made it. */
export interface Weight {
  /** As its {@link ParameterSpec} names it. */
  readonly name: string;
  readonly role: 'matrix' | 'vector';
  /** As used: see {@link ParameterSpec.shape}. */
  readonly shape: readonly number[];
  /** As stored in memory. */
  readonly dtype: DType;
  /** Bytes held in the backend's memory. */
  readonly bytes: number;
}

/** Parameters as the layers want them: any nesting of objects and arrays; `null` where a config leaves one out. */
export type ParameterTree = ParameterSpec | null | readonly ParameterTree[] | { readonly [key: string]: ParameterTree };

/** The same nesting with weights in place of specs. */
export type WeightsOf<T> = T extends ParameterSpec
  ? Weight
  : T extends null
    ? null
    : T extends readonly (infer U)[]
      ? readonly WeightsOf<U>[]
      : { readonly [K in keyof T]: WeightsOf<T[K]> };

/** One tensor of a checkpoint file. */
export interface TensorEntry {
  /** Canonical (Hugging Face) name. */
  readonly name: string;
  /** Of what `read` gives. */
  readonly dtype: DType;
  /** As in the file; row-major. */
  readonly shape: readonly number[];
  /** Of what `read` gives. */
  readonly byteLength: number;
  /** The type in the file, such as `q4_k`, where reading decodes it to `dtype`. */
  readonly storedAs?: string;
  /** The values are those in use already: a parameter's `map` is not applied to them (`ssm_a` of GGUF holds A). */
  readonly asUsed?: boolean;
}

/** The tensors of a checkpoint, wherever they lie. Made by `@mamba-ts/loaders`. */
export interface WeightSource {
  /** In file order, so that reading them in this order reads the file once from front to back. */
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /**
   * The bytes of one tensor, little-endian, in pieces of at most 8 MiB that each hold whole elements. A piece is valid
   * until the next one of that tensor is asked for (it is a staging buffer that is used again); two tensors may be read at
   * once.
   */
  read(name: string, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Takes the file bytes of one parameter, piece by piece, and packs them into the backend's memory as they come. */
export interface WeightWriter {
  /** The next bytes: whole elements of the file's dtype, little-endian. */
  write(piece: Uint8Array): void;
  /** After the last piece. Throws `TENSOR_SIZE` where bytes are missing. */
  finish(): Weight;
  /** Gives the memory back when loading is broken off. */
  abort(): void;
}
