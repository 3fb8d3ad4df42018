import { MambaError } from '@mamba-ts/tensor';
import { shownName } from '../safetensors/header.ts';
import type { GgufArchitecture, Mapped, Tensors } from './architecture.ts';
import { ConfigFields } from './config-fields.ts';
import { Fields } from './fields.ts';
import type { GgufTensor } from './header.ts';
import { mamba, mamba2 } from './mamba-architectures.ts';
import { gptneox, llama } from './transformer-architectures.ts';
import type { Placement } from './weights.ts';
import type { GgufField } from './write.ts';

/** A checkpoint in the terms of the Hugging Face layout. */
export interface GgufModel {
  /** As config.json would say it. */
  readonly config: Readonly<Record<string, unknown>>;
  /** The tensor with what rotary frequencies are divided by, where the file has one. */
  readonly ropeFactors: GgufTensor | undefined;
  /**
   * Null for a tensor that is no weight. Throws `GGUF_TENSOR` for one that the architecture does not have: the model would
   * compute something else.
   */
  place(tensor: GgufTensor): Placement | null;
}

const ARCHITECTURES: ReadonlyMap<string, GgufArchitecture> = new Map(Object.entries({ mamba, mamba2, gptneox, llama }));

/**
 * What the metadata and the tensors of a GGUF file say, as the Hugging Face layout would say it. `file` is for messages.
 * Throws `GGUF_ARCHITECTURE` and `GGUF_METADATA`.
 */
export function ggufModel(f: Fields, tensors: Tensors, file: string): GgufModel {
  const architecture = ARCHITECTURES.get(f.architecture);
  if (!architecture) {
    const supported = [...ARCHITECTURES.keys()];
    throw new MambaError(
      'GGUF_ARCHITECTURE',
      `${file} has the architecture ${shownName(f.architecture)}; supported: ${supported.join(', ')}`,
      { file, found: f.architecture, supported },
    );
  }
  const config = architecture.config(f, tensors);
  const { whole, layerPrefix } = architecture;
  const layer = architecture.layer(f);
  const ropeFactors = architecture.ropeFactors === undefined ? undefined : tensors.get(architecture.ropeFactors);
  return {
    config,
    ropeFactors,
    place(tensor) {
      if (tensor.name === ropeFactors?.name) return null;
      const inLayer = /^blk\.(\d{1,4})\.(.+)$/.exec(tensor.name);
      const [table, key] = inLayer ? [layer, inLayer[2]!] : [whole, tensor.name];
      const found = Object.hasOwn(table, key) ? table[key] : undefined;
      if (found === undefined) {
        throw new MambaError(
          'GGUF_TENSOR',
          `${file} holds the tensor ${shownName(tensor.name)}, which ${f.architecture} models have no use for here: the ` +
            'model would compute something else',
          { file, tensor: tensor.name },
        );
      }
      const { name, axes, ...rest } = typeof found === 'string' ? { name: found } : found;
      const shape = axes ? [tensor.shape.reduce((product, axis) => product * axis, 1)] : tensor.shape;
      return { ...rest, shape, name: inLayer ? `${layerPrefix}${Number(inLayer[1])}.${name}` : name };
    },
  };
}

/** How a checkpoint of the Hugging Face layout lies in a GGUF file. */
export interface GgufLayout {
  readonly architecture: string;
  /** What the metadata says of the architecture, by whole keys. */
  readonly metadata: ReadonlyMap<string, GgufField>;
  /** The tensor with what rotary frequencies are divided by, where there is one. */
  readonly ropeFactors: { readonly name: string; readonly values: Float32Array } | null;
  /** The name in the file and how it lies there; of a name that the format has no place for, undefined. */
  locate(name: string): Mapped | undefined;
}

/**
 * The layout of a file for a config.json of the Hugging Face layout in which every field that matters is there. Throws
 * `GGUF_ARCHITECTURE`, and `GGUF_CONFIG` for what the format cannot say.
 */
export function ggufLayout(config: Readonly<Record<string, unknown>>): GgufLayout {
  const modelType = String(config.model_type);
  const found = [...ARCHITECTURES].find(([, { modelTypes }]) => modelTypes.includes(modelType));
  if (!found) {
    const supported = [...ARCHITECTURES.values()].flatMap(({ modelTypes }) => modelTypes);
    throw new MambaError(
      'GGUF_ARCHITECTURE',
      `GGUF has no architecture for ${shownName(modelType)}; it has one for ${supported.join(', ')}. Write safetensors.`,
      { found: modelType, supported },
    );
  }
  const [name, architecture] = found;
  const configFields = new ConfigFields(config);
  const fields = Object.entries(architecture.metadata(configFields));
  const factors = architecture.factors?.(configFields) ?? null;
  const metadata = new Map<string, GgufField>([['general.architecture', ['string', name]]]);
  for (const [key, field] of fields) metadata.set(`${name}.${key}`, field);

  const values = new Map([...metadata].map(([key, [, value]]) => [key, value]));
  const byName = (table: ReturnType<GgufArchitecture['layer']>): Map<string, Mapped> =>
    new Map(
      Object.entries(table).map(([stored, mapped]) => {
        const { name, ...how } = typeof mapped === 'string' ? { name: mapped } : mapped;
        return [name, { ...how, name: stored }];
      }),
    );
  const whole = byName(architecture.whole);
  const layer = byName(architecture.layer(new Fields(values, 'the file')));
  const { layerPrefix } = architecture;
  return {
    architecture: name,
    metadata,
    ropeFactors: factors && { name: architecture.ropeFactors!, values: factors },
    locate(tensor) {
      const inLayer = tensor.startsWith(layerPrefix) && /^(\d{1,4})\.(.+)$/.exec(tensor.slice(layerPrefix.length));
      if (!inLayer) return whole.get(tensor);
      const found = layer.get(inLayer[2]!);
      return found && { ...found, name: `blk.${Number(inLayer[1])}.${found.name}` };
    },
  };
}
