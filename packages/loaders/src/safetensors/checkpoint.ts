import type { DType, ParameterSpec, QuantisedDType } from '@mamba-ts/tensor';
import { type Checkpoint, type ConvertOptions, counterOf, entryOf, recoded } from '../convert.ts';
import type { TensorToWrite } from './write.ts';

type PlainDType = Exclude<DType, QuantisedDType>;
const isPlain = (dtype: DType): dtype is PlainDType => dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';

/**
 * A checkpoint in the Hugging Face layout, for `writeSafetensors`: matrices in `dtype`, vectors in f32; without a dtype
 * each tensor in its own, quantised ones in f16. Weights are read when the stream reaches them.
 *
 * Throws `MISSING_TENSOR`, `TENSOR_SHAPE`; the streams of the tensors throw `TENSOR_RANGE` and what reading throws.
 */
export function safetensorsContent(
  { parameters, weights }: Checkpoint,
  dtype: PlainDType | undefined,
  options: ConvertOptions = {},
): TensorToWrite[] {
  const onElements = counterOf(parameters, options);
  return parameters.map((parameter) => {
    const { name, role } = parameter;
    const entry = entryOf(weights, parameter);
    const own = isPlain(entry.dtype) ? entry.dtype : 'f16';
    const type = dtype === undefined ? own : role === 'matrix' ? dtype : 'f32';
    const data = recoded(weights, entry, {
      type,
      computed: entry.asUsed ? 'A_log of A' : 'as it is',
      signal: options.signal,
      onElements,
    });
    return { name, dtype: type, shape: storedShape(parameter), data };
  });
}

/** The shape of a parameter in a file: a convolution of one filter per channel has an axis for it in PyTorch. */
export function storedShape({ name, shape }: Pick<ParameterSpec, 'name' | 'shape'>): readonly number[] {
  return name.endsWith('.conv1d.weight') ? [shape[0]!, 1, ...shape.slice(1)] : shape;
}
