import {
  bytesOf,
  checkComplete,
  checkPiece,
  checkRole,
  checkSpec,
  DTYPES,
  type DType,
  decodeToF32,
  elementCount,
  foreignError,
  type ParameterSpec,
  type Weight,
  type WeightWriter,
} from '@mamba-ts/tensor';
import type { WasmMemory } from './memory.ts';

/** Outputs that lie side by side in a packed matrix: see rust-wasm/src/lib.rs. */
const PANEL = 8;
const STAGING = 1 << 20;
const CODES: Readonly<Record<DType, number>> = {
  f32: 0,
  f16: 1,
  bf16: 2,
  q8_0: 4,
  q4_0: 5,
  q4_k: 6,
  q5_k: 7,
  q6_k: 8,
};
/** f16 times 2^10, the usual form of it in memory: see RaisedF16 in rust-wasm/src/format.rs. */
const RAISED_F16 = 3;

/** Bytes of a block where memory takes other than files: the scales of 6 bits lie there as bytes. See rust-wasm/src/blocks.rs. */
const IN_MEMORY: Readonly<Partial<Record<DType, { readonly bytes: number }>>> = {
  q4_k: { bytes: 148 },
  q5_k: { bytes: 180 },
};

/** Types of which a byte in memory holds codes of several outputs. */
const BITWISE: ReadonlySet<DType> = new Set<DType>(['q4_0', 'q4_k', 'q5_k', 'q6_k']);

/** A parameter in WebAssembly memory. */
export class WasmWeight implements Weight {
  readonly name: string;
  readonly role: 'matrix' | 'vector';
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly bytes: number;
  readonly address: number;
  /** As the kernels call the format. */
  readonly code: number;
  owner: WasmMemory | null;
  /** The address of `[columns, rows]`, made at the first use as convolution taps; 0 before. */
  transposed = 0;

  constructor(
    owner: WasmMemory,
    spec: ParameterSpec,
    dtype: DType,
    bytes: number,
    address: number,
    code: number = CODES[dtype],
  ) {
    this.owner = owner;
    this.name = spec.name;
    this.role = spec.role;
    this.shape = spec.shape;
    this.dtype = dtype;
    this.bytes = bytes;
    this.address = address;
    this.code = code;
  }
}

/** The weight, which must be this memory's and alive. */
export function ownWeight(memory: WasmMemory, call: string, weight: Weight): WasmWeight {
  memory.kernels(call);
  return checkOwn(memory, call, weight);
}

function checkOwn(memory: WasmMemory, call: string, weight: Weight): WasmWeight {
  if (!(weight instanceof WasmWeight) || weight.owner !== memory)
    throw foreignError(memory.name, `${call}: ${weight.name}`);
  return weight;
}

/** The address of an optional vector; 0 for none. */
export function addressOf(memory: WasmMemory, op: string, w: Weight | null): number {
  return w === null ? 0 : ownWeight(memory, op, w).address;
}

export function freeWeight(memory: WasmMemory, weight: Weight): void {
  memory.checkAlive('freeWeight');
  const own = checkOwn(memory, 'freeWeight', weight);
  memory.releaseWeight(own.address, own.bytes);
  if (own.transposed) memory.releaseWeight(own.transposed, own.bytes);
  own.owner = null;
}

/** A copy of a vector's values. */
export function readWeight(memory: WasmMemory, weight: Weight): Float32Array {
  const { address } = ownWeight(memory, 'readWeight', weight);
  checkRole('readWeight', 'the weight', weight, 'vector');
  return memory.floats().slice(address / 4, address / 4 + elementCount(weight.shape));
}

/** `[channels, taps]` as `[taps, channels]`, kept beside the weight: the convolution runs along the channels. */
export function transposedTaps(memory: WasmMemory, weight: WasmWeight): number {
  if (weight.transposed === 0) {
    weight.transposed = memory.allocateWeight(weight.bytes, weight.name);
    memory.kernels('causalConv1d').transpose(weight.address, weight.transposed, weight.shape[0]!, weight.shape[1]!);
  }
  return weight.transposed;
}

export function createWeight(memory: WasmMemory, spec: ParameterSpec, dtype: DType): WeightWriter {
  memory.kernels('createWeight');
  checkSpec(spec, dtype);
  return spec.role === 'matrix' ? new MatrixWriter(memory, spec, dtype) : new VectorWriter(memory, spec, dtype);
}

/** What both writers count. */
abstract class Writer implements WeightWriter {
  protected readonly memory: WasmMemory;
  protected readonly spec: ParameterSpec;
  /** Of the file. */
  protected readonly source: DType;
  readonly #total: number;
  #written = 0;

  constructor(memory: WasmMemory, spec: ParameterSpec, source: DType) {
    this.memory = memory;
    this.spec = spec;
    this.source = source;
    this.#total = bytesOf(source, elementCount(spec.shape));
  }

  write(piece: Uint8Array): void {
    const width = DTYPES[this.source].bytes;
    // Parts that stay in the cache while they are checked, staged and packed. A widened matrix takes twice the bytes of its
    // file.
    const step = STAGING / 2 - ((STAGING / 2) % width);
    for (let at = 0; at < piece.byteLength; at += step) {
      const part = piece.subarray(at, at + step);
      checkPiece(this.spec, this.source, part, this.#written, this.#total);
      this.store(part, this.#written / width);
      this.#written += part.byteLength;
    }
  }

  finish(): Weight {
    checkComplete(this.spec, this.source, this.#written, this.#total);
    return this.seal();
  }

  /** Puts the elements (of quantised types: blocks) from index `start` on in their places; at most half of STAGING. */
  protected abstract store(part: Uint8Array, start: number): void;
  protected abstract seal(): Weight;
  abstract abort(): void;
}

/** Converts to f32 and applies the parameter's map. */
class VectorWriter extends Writer {
  readonly #bytes: number;
  #address: number;

  constructor(memory: WasmMemory, spec: ParameterSpec, source: DType) {
    super(memory, spec, source);
    this.#bytes = 4 * elementCount(spec.shape);
    this.#address = memory.allocateWeight(this.#bytes, spec.name);
  }

  protected store(piece: Uint8Array, start: number): void {
    const values = decodeToF32(piece, this.source);
    const { map } = this.spec;
    if (map) for (let i = 0; i < values.length; i++) values[i] = map(values[i]!);
    this.memory.floats().set(values, this.#address / 4 + start * DTYPES[this.source].block);
  }

  protected seal(): Weight {
    const weight = new WasmWeight(this.memory, this.spec, 'f32', this.#bytes, this.#address);
    this.#address = 0;
    return weight;
  }

  abort(): void {
    if (this.#address) this.memory.releaseWeight(this.#address, this.#bytes);
    this.#address = 0;
  }
}

/** Packs rows into panels through a staging block. */
class MatrixWriter extends Writer {
  readonly #inputs: number;
  readonly #elements: number;
  #dtype: DType;
  #code: number;
  #address: number;
  #staging: number;

  constructor(memory: WasmMemory, spec: ParameterSpec, source: DType) {
    super(memory, spec, source);
    const [outputs, inputs] = spec.shape as [number, number];
    this.#inputs = inputs;
    this.#elements = Math.ceil(outputs / PANEL) * PANEL * inputs;
    this.#dtype = source;
    this.#code = source === 'f16' ? RAISED_F16 : CODES[source];
    this.#staging = memory.allocate(STAGING, 'staging');
    try {
      this.#address = memory.allocateWeight(this.#bytes, spec.name);
    } catch (error) {
      memory.release(this.#staging, STAGING);
      throw error;
    }
    // Packing writes all of it but the rows that fill up the last panel, which must be zero; codes below 8 bits are put
    // together bit by bit.
    const panel = (this.#bytes * PANEL * inputs) / this.#elements;
    const zero = BITWISE.has(source) ? this.#bytes : outputs % PANEL === 0 ? 0 : panel;
    memory.bytes(this.#address + this.#bytes - zero, zero).fill(0);
  }

  get #bytes(): number {
    const { block, bytes } = { ...DTYPES[this.#dtype], ...IN_MEMORY[this.#dtype] };
    return (this.#elements / block) * bytes;
  }

  protected store(part: Uint8Array, start: number): void {
    const { pack_matrix: pack } = this.memory.kernels('createWeight');
    const count = part.byteLength / DTYPES[this.source].bytes;
    while (this.#dtype === this.source) {
      this.memory.bytes(this.#staging, part.byteLength).set(part);
      const refused = pack(this.#code, this.#staging, start, count, this.#inputs, this.#address);
      if (!refused) return;
      if (this.#code === RAISED_F16) this.#lower();
      else this.#widen();
    }
    this.memory.floats().set(decodeToF32(part, this.source), this.#staging / 4);
    pack(CODES.f32, this.#staging, start, count, this.#inputs, this.#address);
  }

  /** A number of 64 or more: the matrix goes on as plain f16, whose subnormal numbers are slower. */
  #lower(): void {
    this.memory.kernels('createWeight').lower_f16(this.#address, this.#elements);
    this.#code = CODES.f16;
  }

  /** The f16 kernels have no infinities and NaNs: such a matrix goes on as f32, and its `dtype` says so. */
  #widen(): void {
    const [address, bytes] = [this.#address, this.#bytes];
    const wide = this.memory.allocateWeight(4 * this.#elements, this.spec.name);
    this.memory.kernels('createWeight').widen_f16(address, this.#elements, wide);
    this.memory.releaseWeight(address, bytes);
    this.#dtype = 'f32';
    this.#code = CODES.f32;
    this.#address = wide;
  }

  protected seal(): Weight {
    const weight = new WasmWeight(this.memory, this.spec, this.#dtype, this.#bytes, this.#address, this.#code);
    this.#address = 0;
    this.abort();
    return weight;
  }

  abort(): void {
    if (this.#address) this.memory.releaseWeight(this.#address, this.#bytes);
    if (this.#staging) this.memory.release(this.#staging, STAGING);
    this.#address = 0;
    this.#staging = 0;
  }
}
