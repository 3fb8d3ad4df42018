/** An element type: `block` elements are stored together in `bytes` bytes. */
export interface GgmlType {
  /** As llama.cpp names it, in lower case: `q4_k`. */
  readonly name: string;
  readonly block: number;
  readonly bytes: number;
}

/** By the number in the file (ggml.h `enum ggml_type`); numbers that are missing were taken back. */
export const GGML_TYPES: ReadonlyMap<number, GgmlType> = new Map(
  (
    [
      [0, 'f32', 1, 4],
      [1, 'f16', 1, 2],
      [2, 'q4_0', 32, 18],
      [3, 'q4_1', 32, 20],
      [6, 'q5_0', 32, 22],
      [7, 'q5_1', 32, 24],
      [8, 'q8_0', 32, 34],
      [9, 'q8_1', 32, 40],
      [10, 'q2_k', 256, 84],
      [11, 'q3_k', 256, 110],
      [12, 'q4_k', 256, 144],
      [13, 'q5_k', 256, 176],
      [14, 'q6_k', 256, 210],
      [15, 'q8_k', 256, 292],
      [16, 'iq2_xxs', 256, 66],
      [17, 'iq2_xs', 256, 74],
      [18, 'iq3_xxs', 256, 98],
      [19, 'iq1_s', 256, 50],
      [20, 'iq4_nl', 32, 18],
      [21, 'iq3_s', 256, 110],
      [22, 'iq2_s', 256, 82],
      [23, 'iq4_xs', 256, 136],
      [24, 'i8', 1, 1],
      [25, 'i16', 1, 2],
      [26, 'i32', 1, 4],
      [27, 'i64', 1, 8],
      [28, 'f64', 1, 8],
      [29, 'iq1_m', 256, 56],
      [30, 'bf16', 1, 2],
      [34, 'tq1_0', 256, 54],
      [35, 'tq2_0', 256, 66],
      [39, 'mxfp4', 32, 17],
    ] as const
  ).map(([id, name, block, bytes]) => [id, { name, block, bytes }]),
);

/** What a reader keeps in memory of one header, whatever it says. Vocabularies of 260,000 tokens take some 15 MB. */
export const GGUF_LIMITS = {
  /** Bytes from the start of the file to the first tensor. */
  header: 100_000_000,
  keys: 65_536,
  /** Bytes. */
  key: 65_535,
  /** Elements of all arrays together. */
  elements: 4_194_304,
  tensors: 32_768,
  /** Bytes of a tensor's name; llama.cpp's own limit. */
  name: 63,
  rank: 4,
  shards: 1024,
} as const;
