import { bytesOf, DEQUANTIZE, DTYPES, type DType, f32ToF16, MambaError, type TensorEntry } from '@mamba-ts/tensor';
import { readTogether } from '../read-together.ts';
import { shownName } from '../safetensors/header.ts';
import { type CheckpointSource, noTensor, type OtherEntry, STAGING_BYTES } from '../weights.ts';
import type { GgufFile } from './file.ts';
import type { GgufTensor } from './header.ts';

/** Rows that stand in another order in the file: block `b` of `rows` rows begins at row `first(b)` there. */
export interface RowOrder {
  readonly rows: number;
  readonly first: (block: number) => number;
  /** Where row `r` of a block lies in the block; there unless told otherwise. */
  readonly within?: (row: number) => number;
}

/** What a tensor of the file is to the model. */
export interface Placement {
  /** Canonical (Hugging Face) name. */
  readonly name: string;
  /** The file's own unless told otherwise. */
  readonly shape?: readonly number[];
  readonly order?: RowOrder;
  readonly asUsed?: true;
}

interface Place {
  readonly file: GgufFile;
  readonly tensor: GgufTensor;
  readonly placement: Placement;
}

/** Types that weights have in memory as they have in the file. */
const KEPT: ReadonlyMap<string, DType> = new Map((Object.keys(DTYPES) as DType[]).map((dtype) => [dtype, dtype]));

/** Elements decoded at once: 2 MiB of f16. A multiple of every block. */
const DECODED = 1 << 20;

/**
 * The tensors of a GGUF file, or of all parts of one, as weights, under the names that `place` gives them; null
 * for one that is none. Quantised
 * types that backends do not keep are decoded to f16 as they are read, a piece at a time (`storedAs` says from what).
 *
 * Throws `GGUF_DUPLICATE` where a tensor is in two parts, `TENSOR_NAME` where two get one name, and in reading
 * `TENSOR_RANGE` where a decoded weight is beyond f16.
 */
export function ggufWeights(
  files: readonly GgufFile[],
  place: (tensor: GgufTensor) => Placement | null,
): CheckpointSource {
  const places = new Map<string, Place>();
  const entries = new Map<string, TensorEntry>();
  const others = new Map<string, OtherEntry>();
  const seen = new Set<string>();
  const spares: Spares = [];
  for (const opened of files) {
    const file = { ...opened, source: readTogether(opened.source) };
    for (const tensor of file.tensors) {
      if (seen.has(tensor.name)) {
        const message = `tensor ${shownName(tensor.name)} is in two parts of the model`;
        throw new MambaError('GGUF_DUPLICATE', message, { tensor: tensor.name, file: file.source.name });
      }
      seen.add(tensor.name);
      const placement = place(tensor);
      if (placement === null) continue;
      const { name, shape = tensor.shape, asUsed } = placement;
      if (places.has(name)) {
        throw new MambaError('TENSOR_NAME', `two tensors would both be called ${shownName(name)}`, { renamed: name });
      }
      places.set(name, { file, tensor, placement });
      const { type } = tensor;
      const kept = KEPT.get(type.name);
      if (kept || DEQUANTIZE.has(type.name)) {
        const dtype = kept ?? 'f16';
        const byteLength = bytesOf(
          dtype,
          shape.reduce((product, axis) => product * axis, 1),
        );
        entries.set(name, {
          name,
          dtype,
          shape,
          byteLength,
          ...(kept ? {} : { storedAs: type.name }),
          ...(asUsed ? { asUsed } : {}),
        });
      } else others.set(name, { name, dtype: type.name, shape, byteLength: tensor.end - tensor.begin });
    }
  }
  return {
    entries,
    others,
    metadata: new Map(),
    async *read(name, signal) {
      const found = places.get(name);
      if (!found) throw noTensor(name, entries);
      const { tensor, file } = found;
      const kept = KEPT.has(tensor.type.name);
      const dequantize = kept ? undefined : DEQUANTIZE.get(tensor.type.name);
      if (!dequantize && !kept) {
        throw new MambaError(
          'TENSOR_DTYPE',
          `tensor ${shownName(tensor.name)} in ${file.source.name} is of the type ${tensor.type.name}; weights are read ` +
            `from ${[...new Set([...KEPT.keys(), ...DEQUANTIZE.keys()])].join(', ')}. Take a file of another quantisation.`,
          { tensor: tensor.name, found: tensor.type.name },
        );
      }
      const values = new Float32Array(dequantize ? Math.min(DECODED, elementsOf(tensor)) : 0);
      for await (const piece of found.placement.order
        ? readReordered(found, signal)
        : readInOrder(found, spares, signal)) {
        signal?.throwIfAborted();
        if (!dequantize) yield piece;
        else {
          const { block, bytes } = tensor.type;
          const step = Math.floor(values.length / block) * bytes;
          for (let at = 0; at < piece.byteLength; at += step) {
            const part = piece.subarray(at, at + step);
            const decoded = values.subarray(0, (part.byteLength / bytes) * block);
            dequantize(part, part.byteLength / bytes, decoded);
            yield toF16(decoded, tensor.name);
          }
        }
      }
    },
  };
}

const elementsOf = (tensor: GgufTensor): number => tensor.shape.reduce((product, axis) => product * axis, 1);

/** Little-endian f16. */
function toF16(values: Float32Array, tensor: string): Uint8Array {
  const out = new Uint8Array(2 * values.length);
  for (let i = 0; i < values.length; i++) {
    const bits = f32ToF16(values[i]!);
    if ((bits & 0x7fff) === 0x7c00 && Number.isFinite(values[i])) {
      throw new MambaError(
        'TENSOR_RANGE',
        `tensor ${shownName(tensor)} holds ${values[i]}, and f16, to which it is decoded, ends at 65504`,
        { tensor, found: values[i] },
      );
    }
    out[2 * i] = bits & 0xff;
    out[2 * i + 1] = bits >> 8;
  }
  return out;
}

/** Buffers that no read uses now: two where a tensor's first piece is read while another's last is packed. */
type Spares = Uint8Array[];

async function* readInOrder({ file, tensor }: Place, spares: Spares, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const most = STAGING_BYTES - (STAGING_BYTES % tensor.type.bytes);
  const staging = spares.pop() ?? new Uint8Array(STAGING_BYTES);
  try {
    for (let at = tensor.begin; at < tensor.end; at += most) {
      const length = Math.min(most, tensor.end - at);
      yield await file.source.read(file.dataStart + at, length, { into: staging, signal });
    }
  } finally {
    spares.push(staging);
  }
}

async function* readReordered({ file, tensor, placement }: Place, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const { rows, first, within } = placement.order!;
  const all = tensor.shape[0]!;
  const rowBytes = (tensor.end - tensor.begin) / all;
  const blockBytes = rows * rowBytes;
  if (all % rows !== 0 || blockBytes > 4 * STAGING_BYTES) {
    throw new MambaError(
      'GGUF_LIMIT',
      `tensor ${shownName(tensor.name)}: its ${all} rows of ${rowBytes} bytes cannot be put in order ${rows} at a time`,
      { tensor: tensor.name, rows, limit: 4 * STAGING_BYTES },
    );
  }
  const staging = new Uint8Array(blockBytes);
  const ordered = within ? new Uint8Array(blockBytes) : staging;
  for (let block = 0; block < all / rows; block++) {
    const at = file.dataStart + tensor.begin + first(block) * rowBytes;
    await file.source.read(at, blockBytes, { into: staging, signal });
    if (within) {
      for (let row = 0; row < rows; row++) {
        const from = within(row) * rowBytes;
        ordered.set(staging.subarray(from, from + rowBytes), row * rowBytes);
      }
    }
    // A piece holds at most 8 MiB.
    const step = STAGING_BYTES - (STAGING_BYTES % tensor.type.bytes);
    for (let done = 0; done < blockBytes; done += step) yield ordered.subarray(done, done + step);
  }
}
