import { join } from 'node:path';
import { type ConfigJson, findPreset, listParameters, randomWeights } from '@mamba-ts/layers';
import { type GgufDType, type GgufTensorToWrite, ggufContent, writeGguf } from '@mamba-ts/loaders';
import { saveFile } from '@mamba-ts/loaders/node';
import { bytesOf, DTYPES, type DType, isQuantised, philoxRandom, randomBlocks } from '@mamba-ts/tensor';
import { ggufOfTokenizerJson, trainTokenizer } from '@mamba-ts/tokenizer';

/** Blocks that are drawn; more of a tensor repeats them: speed does not depend on values. */
const BLOCKS = 4096;
/** Values about as large as those of trained weights. */
const SPREAD = 0.1;

/**
 * Writes a GGUF file of a published size with random weights, of which llama.cpp's quantiser would make these types, and a
 * vocabulary in which each byte is a token. Throws as `findPreset` and `saveFile` do.
 */
export async function writeRandomGguf(
  folder: string,
  size: string,
  dtype: GgufDType,
  signal: AbortSignal,
): Promise<string> {
  const { architecture, config: published } = await findPreset(size);
  const config: ConfigJson = architecture.huggingFaceConfig?.(published) ?? published;
  const { parameters: tree, vocabSize } = architecture.createModel(architecture.parseConfig(config));
  const tokenizer = JSON.stringify(trainTokenizer([''], { vocabSize: 257 }));
  const rows = typeof config.vocab_size === 'number' ? config.vocab_size : vocabSize;
  const { metadata, tensors } = ggufContent({
    name: size,
    config: { ...config, max_position_embeddings: 4096 },
    parameters: listParameters(tree),
    weights: randomWeights(tree, 'f32', 1),
    dtype,
    tokenizer: ggufOfTokenizerJson(tokenizer, { rows, bosTokenId: 0, eosTokenId: 0 }).fields,
  });
  const path = join(folder, `${size}-${dtype}.gguf`);
  await saveFile(path, writeGguf(metadata, tensors.map(drawn)), signal);
  return path;
}

/** The tensor with random blocks for its values, where its type has blocks: quantising would take minutes. */
function drawn(tensor: GgufTensorToWrite): GgufTensorToWrite {
  const dtype = tensor.type as DType;
  if (!(dtype in DTYPES) || !isQuantised(dtype)) return tensor;
  const random = philoxRandom(1);
  let next = 0;
  const blocks = randomBlocks(dtype, BLOCKS, SPREAD, () => random(next++));
  const bytes = bytesOf(
    dtype,
    tensor.shape.reduce((product, axis) => product * axis, 1),
  );
  return { ...tensor, data: repeated(blocks, bytes) };
}

async function* repeated(piece: Uint8Array, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes; at += piece.length) yield piece.subarray(0, bytes - at);
}
