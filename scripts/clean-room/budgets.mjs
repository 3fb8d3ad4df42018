/**
 * What packages may weigh, in bytes. The one place: raise a figure here where the weight is worth it, and say why in
 * the commit.
 */

/** Packages that people take alone: what npm installs besides, all of its exports bundled and gzipped, its .wasm files. */
export const alone = [
  { name: '@mamba-ts/kernels', installs: ['@mamba-ts/tensor', 'wasm-feature-detect'], script: 32_000, wasm: 1_350_000 },
  { name: '@mamba-ts/tokenizer', installs: ['@huggingface/jinja'], script: 28_000 },
  // Adapters of PEFT are 2 kB of it.
  { name: '@mamba-ts/loaders', installs: ['@mamba-ts/tensor'], script: 45_000 },
];

/** The tarballs, as they travel. The embedded models are packages of their own. */
export const tarballs = {
  '@mamba-ts/cli': 1_000_000,
  // Four builds of the kernels, with those for training, integer products of prompts and skipped updates.
  '@mamba-ts/kernels': 550_000,
  '@mamba-ts/model-shakespeare': 6_000_000,
  '@mamba-ts/model-shakespeare-transformer': 6_000_000,
  default: 250_000,
};
