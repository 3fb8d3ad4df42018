import {
  type Backend,
  MambaError,
  type ParameterSpec,
  type ParameterTree,
  type TensorEntry,
  type Weight,
  type WeightSource,
  type WeightsOf,
} from '@mamba-ts/tensor';
import { Fingerprint } from './fingerprint.ts';

const isSpec = (tree: ParameterTree): tree is ParameterSpec =>
  tree !== null && !Array.isArray(tree) && (tree as ParameterSpec).kind === 'parameter';

/** Every parameter of a tree, in the order of the tree; one that is named twice (tied) counts once. */
export function listParameters(tree: ParameterTree): ParameterSpec[] {
  const found = new Map<string, ParameterSpec>();
  const visit = (node: ParameterTree): void => {
    if (node === null) return;
    if (isSpec(node)) found.set(node.name, node);
    else for (const child of Object.values(node)) visit(child);
  };
  visit(tree);
  return [...found.values()];
}

function mapTree<T extends ParameterTree>(tree: T, weights: ReadonlyMap<string, Weight>): WeightsOf<T> {
  const visit = (node: ParameterTree): unknown => {
    if (node === null) return null;
    if (isSpec(node)) return weights.get(node.name);
    if (Array.isArray(node)) return node.map(visit);
    return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, visit(child as ParameterTree)]));
  };
  return visit(tree) as WeightsOf<T>;
}

const squeeze = (shape: readonly number[]): string => shape.filter((axis) => axis !== 1).join(',');

function checkEntry(spec: ParameterSpec, entry: TensorEntry | undefined, source: WeightSource): TensorEntry {
  if (!entry) {
    const some = [...source.entries.keys()].slice(0, 5).join(', ');
    throw new MambaError(
      'MISSING_TENSOR',
      `the checkpoint has no tensor "${spec.name}" (expected with shape [${spec.shape}]); it holds ` +
        `${source.entries.size} tensors: ${some}, … Does config.json belong to these weights?`,
      { tensor: spec.name },
    );
  }
  if (squeeze(entry.shape) !== squeeze(spec.shape)) {
    throw new MambaError(
      'TENSOR_SHAPE',
      `tensor "${spec.name}" has shape [${entry.shape}], but config.json asks for [${spec.shape}]`,
      { tensor: spec.name, expected: spec.shape, found: entry.shape },
    );
  }
  return entry;
}

/** Bytes of each piece that enter the fingerprint: enough to tell two trainings apart, at no cost worth naming. */
const SAMPLE = 1024;

/** How to load parameters. */
export interface LoadOptions {
  /** Ends it within a piece of at most 8 MiB by throwing its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes of weights read so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Parameters in the memory of a backend, in the shape of their tree. */
export interface LoadedParameters<T extends ParameterTree> {
  readonly weights: WeightsOf<T>;
  readonly all: readonly Weight[];
  /** Of names, dtypes, shapes and a sample of every piece of the bytes. */
  readonly fingerprint: string;
}

/** A tensor whose first piece is on its way. */
interface Read {
  readonly first: Promise<IteratorResult<Uint8Array>>;
  readonly pieces: AsyncIterator<Uint8Array>;
}

function startRead(source: WeightSource, name: string, signal: AbortSignal | undefined): Read {
  const pieces = source.read(name, signal)[Symbol.asyncIterator]();
  const first = pieces.next();
  first.catch(() => {}); // told to whoever waits for it
  return { first, pieces };
}

async function* piecesOf({ first, pieces }: Read): AsyncGenerator<Uint8Array> {
  try {
    for (let step = await first; !step.done; step = await pieces.next()) yield step.value;
  } finally {
    await pieces.return?.();
  }
}

/**
 * Streams the parameters of `tree` from `source` into `backend`, in file order, each byte once. All names and shapes are
 * checked before the first byte is read. Where it fails, what was loaded is freed again.
 */
export async function loadParameters<const T extends ParameterTree>(
  tree: T,
  source: WeightSource,
  backend: Backend,
  options: LoadOptions = {},
): Promise<LoadedParameters<T>> {
  const wanted = new Map(listParameters(tree).map((spec) => [spec.name, spec]));
  let total = 0;
  for (const spec of wanted.values()) total += checkEntry(spec, source.entries.get(spec.name), source).byteLength;
  const weights = new Map<string, Weight>();
  const hash = new Fingerprint();
  let done = 0;
  const entries = [...source.entries.values()].filter(({ name }) => wanted.has(name));
  let current: Read | null = null;
  let next: Read | null = null;
  try {
    for (const [i, entry] of entries.entries()) {
      const spec = wanted.get(entry.name)!;
      // While a tensor is packed, the first piece of the next one is read.
      current = next ?? startRead(source, entry.name, options.signal);
      const after = entries[i + 1];
      next = after ? startRead(source, after.name, options.signal) : null;
      hash.text(`${entry.name}:${entry.dtype}:${entry.shape}`);
      const { map: _, ...unmapped } = spec;
      const writer = backend.createWeight(entry.asUsed ? unmapped : spec, entry.dtype);
      try {
        for await (const piece of piecesOf(current)) {
          options.signal?.throwIfAborted();
          hash.bytes(piece.subarray(0, SAMPLE));
          writer.write(piece);
          done += piece.byteLength;
          options.onProgress?.(done, total);
        }
        weights.set(entry.name, writer.finish());
      } catch (error) {
        writer.abort();
        throw error;
      }
    }
  } catch (error) {
    for (const weight of weights.values()) backend.freeWeight(weight);
    for (const read of [current, next]) read?.pieces.return?.().catch(() => {}); // not waited for: it has failed already
    throw error;
  }
  return { weights: mapTree(tree, weights), all: [...weights.values()], fingerprint: hash.digest() };
}
