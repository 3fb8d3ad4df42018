import {
  type Architecture,
  type ConfigJson,
  type LoadedParameters,
  listParameters,
  loadParameters,
  type ModelDefinition,
} from '@mamba-ts/layers';
import {
  MambaError,
  type ParameterSpec,
  type ParameterTree,
  readToF32,
  type Tensor,
  type TensorEntry,
  type TrainingBackend,
  type Weight,
  type WeightSource,
} from '@mamba-ts/tensor';
import type { Batch } from './batch.ts';
import { rowsWithTargets } from './batch.ts';
import { type LoraPair, type LowRankWeights, withLowRank } from './lora.ts';
import type { Tape } from './tape.ts';
import type { Trainable } from './trainable.ts';

/** One tensor that training changes. */
export interface Parameter {
  /** Canonical (Hugging Face) name, and what else the layers ask of it. */
  readonly spec: ParameterSpec;
  /** As the backend uses it. */
  readonly weight: Weight;
  /** As a file holds it (`A_log`, not A), row-major. What `update` takes from here goes to the backend. */
  readonly values: Float32Array;
}

/** Values by canonical name, as a file holds them. */
export type ParameterValues = ReadonlyMap<string, Float32Array>;

/** The values of every parameter of `definition`, in f32, whatever the dtype of the file. Throws as `loadParameters` does. */
export async function readParameters(
  architecture: Architecture,
  definition: ModelDefinition,
  source: WeightSource,
): Promise<Map<string, Float32Array>> {
  const wanted = new Set(listParameters(definition.parameters).map(({ name }) => name));
  const values = new Map<string, Float32Array>();
  for (const entry of source.entries.values()) {
    const name = architecture.canonicalName(entry.name);
    if (!wanted.has(name)) continue;
    if (entry.asUsed) {
      throw new MambaError(
        'UNSUPPORTED',
        `tensor "${name}" is stored as it is used, not as it is trained. Convert the checkpoint to safetensors first`,
        { tensor: name },
      );
    }
    values.set(name, await readToF32(source, entry.name));
  }
  return values;
}

/** The values of a model that is trained, as they are now, as a checkpoint in f32. */
export function parameterSource({ parameters }: TrainableModel): WeightSource {
  const values = new Map([...parameters].map(([name, parameter]) => [name, parameter.values]));
  return sourceOf(
    [...parameters.values()].map(({ spec }) => spec),
    values,
  );
}

/** Values as a checkpoint, for `loadParameters`. */
function sourceOf(specs: readonly ParameterSpec[], values: ParameterValues): WeightSource {
  const entries = new Map<string, TensorEntry>();
  for (const { name, shape } of specs) {
    const found = values.get(name);
    if (found) entries.set(name, { name, dtype: 'f32', shape, byteLength: found.byteLength });
  }
  return {
    entries,
    async *read(name) {
      const { buffer, byteOffset, byteLength } = values.get(name)!;
      const piece = 8 << 20;
      for (let at = 0; at < byteLength; at += piece) {
        yield new Uint8Array(buffer, byteOffset + at, Math.min(piece, byteLength - at));
      }
    },
  };
}

/** Weights in the shape of their tree, and one by one. */
type Loaded = Pick<LoadedParameters<ParameterTree>, 'weights' | 'all'>;

/** The loaded parameters of a tree, from now on with gradients. */
function trained(
  tree: ParameterTree,
  { all }: Loaded,
  values: ParameterValues,
  backend: TrainingBackend,
): Map<string, Parameter> {
  const byName = new Map(all.map((weight) => [weight.name, weight]));
  return new Map(
    listParameters(tree).map((spec) => {
      const weight = byName.get(spec.name)!;
      if (spec.map && !spec.slope) {
        throw new MambaError('UNSUPPORTED', `parameter "${spec.name}" has a map without a slope and cannot be trained`);
      }
      backend.trackGradient(weight);
      return [spec.name, { spec, weight, values: values.get(spec.name)! }];
    }),
  );
}

/** A model whose weights change, or small updates of them: by name, with the gradients that the backend keeps of them. */
export class TrainableModel implements Trainable {
  readonly definition: ModelDefinition;
  readonly backend: TrainingBackend;
  /** What training changes. */
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly #weights: readonly Weight[];
  readonly #tree: never;
  readonly #updates: LowRankWeights;

  private constructor(
    definition: ModelDefinition,
    backend: TrainingBackend,
    { weights, all }: Loaded,
    parameters: ReadonlyMap<string, Parameter>,
    updates: LowRankWeights = new Map(),
  ) {
    this.definition = definition;
    this.backend = backend;
    this.#tree = weights as never;
    this.#weights = all;
    this.parameters = parameters;
    this.#updates = updates;
  }

  /** Puts `values`, which it keeps and changes, onto `backend`. Throws `MISSING_TENSOR` or `TENSOR_SHAPE`. */
  static async create(
    definition: ModelDefinition,
    values: ParameterValues,
    backend: TrainingBackend,
  ): Promise<TrainableModel> {
    const loaded = await loadParameters(
      definition.parameters,
      sourceOf(listParameters(definition.parameters), values),
      backend,
    );
    return new TrainableModel(definition, backend, loaded, trained(definition.parameters, loaded, values, backend));
  }

  /**
   * The same with weights that stay as they are. What training changes is low-rank updates of some of them (LoRA), where
   * `lora` names any: their `values`, which it keeps and changes.
   */
  static async createFrozen(
    definition: ModelDefinition,
    base: ParameterValues,
    backend: TrainingBackend,
    lora: readonly LoraPair[] = [],
    values: ParameterValues = new Map(),
  ): Promise<TrainableModel> {
    const specs = listParameters(definition.parameters);
    const loaded = await loadParameters(definition.parameters, sourceOf(specs, base), backend);
    const tree = lora.flatMap(({ a, b }) => [a, b]);
    // The loader knows maps of vectors only: the first update hands over the mapped values.
    const unmapped = tree.map(({ map: _, ...spec }) => spec);
    const added = await loadParameters(unmapped, sourceOf(tree, values), backend);
    const parameters = trained(tree, added, values, backend);
    const weightOf = new Map(loaded.all.map((weight) => [weight.name, weight]));
    const updates = new Map(
      lora.map(({ target, a, b }) => [
        weightOf.get(target)!,
        { a: parameters.get(a.name)!.weight, b: parameters.get(b.name)!.weight },
      ]),
    );
    const all = [...loaded.all, ...added.all];
    const model = new TrainableModel(definition, backend, { weights: loaded.weights, all }, parameters, updates);
    for (const name of parameters.keys()) model.update(name);
    return model;
  }

  /** From config.json and a checkpoint of its architecture. */
  static async load(
    architecture: Architecture,
    json: ConfigJson,
    source: WeightSource,
    backend: TrainingBackend,
  ): Promise<TrainableModel> {
    const definition = architecture.createModel(architecture.parseConfig(json));
    return TrainableModel.create(definition, await readParameters(architecture, definition, source), backend);
  }

  /** Nats of each target of the batch, `[targets, 1]`, recorded on the tape. */
  losses(tape: Tape, { ids, targets, segments }: Batch): Tensor {
    const ops = withLowRank(tape, this.#updates);
    const hidden = this.definition.hidden(ops, this.#tree, ids, segments); // [T, dModel]
    const { rows, wanted } = rowsWithTargets(targets);
    return tape.crossEntropy(hidden, this.definition.head(this.#tree), rows, wanted, this.definition.vocabSize);
  }

  /** The gradient of one parameter's values as a file holds them: through the map, where it has one. A copy. */
  async gradient(name: string): Promise<Float32Array> {
    const parameter = this.#parameter(name);
    const gradient = await this.backend.readGradient(parameter.weight);
    const { slope } = parameter.spec;
    if (slope) for (const [i, value] of parameter.values.entries()) gradient[i]! *= slope(value);
    return gradient;
  }

  /** All gradients become zero. */
  zeroGradients(): void {
    for (const { weight } of this.parameters.values()) this.backend.zeroGradient(weight);
  }

  /** Hands the values of one parameter to the backend, after they were changed. */
  update(name: string): void {
    const { spec, weight, values } = this.#parameter(name);
    this.backend.writeWeight(weight, spec.map ? values.map(spec.map) : values);
  }

  /** Gives the memory of its weights back. */
  dispose(): void {
    for (const weight of this.#weights) this.backend.freeWeight(weight);
  }

  #parameter(name: string): Parameter {
    const found = this.parameters.get(name);
    if (!found) throw new MambaError('MISSING_TENSOR', `the model has no parameter "${name}"`, { tensor: name });
    return found;
  }
}
