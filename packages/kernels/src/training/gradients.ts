import { checkWeightValues, elementCount, foreignError, MambaError, type Weight } from '@mamba-ts/tensor';
import type { WasmMemory } from '../memory.ts';
import { ownWeight, type WasmWeight } from '../weights.ts';

/** Bytes that are packed at once. */
const STAGING = 1 << 20;

/** The gradients of the weights of one memory, row-major, and new values for the weights. */
export class Gradients {
  readonly #memory: WasmMemory;
  readonly #addresses = new Map<Weight, number>();

  constructor(memory: WasmMemory) {
    this.#memory = memory;
  }

  /** The address of an f32 weight. Throws `DTYPE` for another: gradients of products with it are not to be had. */
  address(op: string, weight: Weight): number {
    return this.#f32(op, weight).address;
  }

  /** The address of a weight's gradient; 0 where it is not tracked, or there is none. */
  of(weight: Weight | null): number {
    return weight === null ? 0 : (this.#addresses.get(weight) ?? 0);
  }

  track(weight: Weight): void {
    this.#f32('trackGradient', weight);
    if (this.#addresses.has(weight)) return;
    const count = elementCount(weight.shape);
    const address = this.#memory.allocateWeight(4 * count, weight.name);
    this.#memory.floats().fill(0, address / 4, address / 4 + count);
    this.#addresses.set(weight, address);
  }

  release(weight: Weight): void {
    const address = this.of(weight);
    if (address) this.#memory.releaseWeight(address, 4 * elementCount(weight.shape));
    this.#addresses.delete(weight);
  }

  /** The gradient of a tracked weight, until the memory grows. */
  view(call: string, weight: Weight): Float32Array {
    const address = this.of(ownWeight(this.#memory, call, weight));
    if (!address) throw foreignError(this.#memory.name, `${call}: a gradient of ${weight.name}`);
    return this.#memory.floats().subarray(address / 4, address / 4 + elementCount(weight.shape));
  }

  write(weight: Weight, values: Float32Array): void {
    checkWeightValues('writeWeight', weight, values.length);
    const own = this.#f32('writeWeight', weight);
    const kernels = this.#memory.kernels('writeWeight');
    if (own.role === 'matrix') {
      const staging = this.#memory.allocate(STAGING, 'staging');
      const count = STAGING / 4;
      for (let start = 0; start < values.length; start += count) {
        const piece = values.subarray(start, start + count);
        this.#memory.floats().set(piece, staging / 4);
        kernels.pack_matrix(0, staging, start, piece.length, own.shape[1]!, own.address);
      }
      this.#memory.release(staging, STAGING);
      return;
    }
    this.#memory.floats().set(values, own.address / 4);
    if (own.transposed) kernels.transpose(own.address, own.transposed, own.shape[0]!, own.shape[1]!);
  }

  #f32(op: string, weight: Weight): WasmWeight {
    const own = ownWeight(this.#memory, op, weight);
    if (own.dtype !== 'f32') {
      throw new MambaError(
        'DTYPE',
        `${op}: ${weight.name} is ${own.dtype}, expected f32: only such weights are trained. Convert the checkpoint, or ` +
          'load it through TrainableModel, which does',
        { weight: weight.name, dtype: own.dtype },
      );
    }
    return own;
  }
}
