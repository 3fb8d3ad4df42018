import { disposedError, foreignError, MambaError, type MemoryUse, staleError, type Tensor } from '@mamba-ts/tensor';
import type { Kernels } from './instance.ts';
import type { WorkerPool } from './pool.ts';
import { WasmSlots } from './slots.ts';

/** Scratch comes in blocks of at least so many bytes. */
const MIN_BLOCK = 1 << 20;
const ALIGN = 16;
/** A single block stays below 2 GiB, which is also as far as Rust's allocator goes. */
const BLOCK_LIMIT = 2 ** 31 - 64;

interface Block {
  readonly address: number;
  readonly bytes: number;
}

/** Marks the scratch tensors of one step, so that a later use is found. */
interface Step {
  readonly memory: WasmMemory;
}

/**
 * One WebAssembly memory and its three lifetimes: weights and slots are blocks of its allocator; scratch is an arena of
 * blocks that `endStep` empties. Addresses are bytes, up to 4 GiB: JavaScript sees those past 2 GiB as negative, hence
 * `>>> 0`. Views of the memory die when it grows: they are made on use.
 */
export class WasmMemory {
  readonly name: string;
  readonly slots: WasmSlots = new WasmSlots(this);
  #kernels: Kernels | null;
  readonly #pool: WorkerPool | null;
  #weights = 0;
  #scratch = 0;
  #blocks: Block[] = [];
  /** Into the last block. */
  #used = 0;
  /** Another object in every step. */
  step: Step = { memory: this };
  #floats: Float32Array = new Float32Array(0);

  constructor(name: string, kernels: Kernels, pool: WorkerPool | null = null) {
    this.name = name;
    this.#kernels = kernels;
    this.#pool = pool;
  }

  /** The kernels; throws `DISPOSED` after the end, `WORKER_LOST` where a worker is gone. */
  kernels(call: string): Kernels {
    this.checkAlive(call);
    this.#pool?.check();
    return this.#kernels!;
  }

  /** Throws `DISPOSED` after the end. All that giving memory back needs, which must succeed where a worker is gone. */
  checkAlive(call: string): void {
    if (!this.#kernels) throw disposedError(this.name, call);
  }

  /** All of the memory as f32, until it grows. */
  floats(): Float32Array {
    const { buffer } = this.kernels('memory').memory;
    if (this.#floats.buffer !== buffer) this.#floats = new Float32Array(buffer);
    return this.#floats;
  }

  bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.kernels('memory').memory.buffer, address, length);
  }

  /** A block of the allocator. Throws `OUT_OF_MEMORY`. */
  allocate(bytes: number, what: string): number {
    const address = bytes < BLOCK_LIMIT ? this.kernels(what).allocate(bytes) >>> 0 : 0;
    if (address === 0) {
      const { total } = this.use();
      throw new MambaError(
        'OUT_OF_MEMORY',
        `${what}: ${bytes} bytes do not fit beside the ${total} that this WebAssembly memory holds (at most 4 GiB, one ` +
          'block at most 2 GiB). Free a model or states, or take a smaller dtype.',
        { bytes, total },
      );
    }
    return address;
  }

  release(address: number, bytes: number): void {
    this.#kernels?.release(address, bytes);
  }

  allocateWeight(bytes: number, name: string): number {
    const address = this.allocate(bytes, name);
    this.#weights += bytes;
    return address;
  }

  releaseWeight(address: number, bytes: number): void {
    this.release(address, bytes);
    this.#weights -= bytes;
  }

  // --- scratch

  /** `bytes` of working memory until the end of the step. */
  scratch(bytes: number): number {
    const size = Math.ceil(bytes / ALIGN) * ALIGN;
    let block = this.#blocks.at(-1);
    if (!block || this.#used + size > block.bytes) {
      const length = Math.max(MIN_BLOCK, size);
      block = { address: this.allocate(length, 'scratch'), bytes: length };
      this.#blocks.push(block);
      this.#used = 0;
    }
    const address = block.address + this.#used;
    this.#used += size;
    this.#scratch += size;
    return address;
  }

  tensor(rows: number, columns: number): Tensor {
    const address = this.scratch(4 * rows * columns);
    return { shape: [rows, columns], rowStride: columns, offset: address / 4, storage: this.step };
  }

  /** The byte address of a tensor's first element. Throws `STALE_TENSOR` or `FOREIGN`. */
  address(call: string, name: string, x: Tensor): number {
    const step = x.storage as Step;
    if (step !== this.step) {
      if (step?.memory === this) throw staleError(this.name, `${call}: ${name}`);
      throw foreignError(this.name, `${call}: ${name}`);
    }
    return 4 * x.offset;
  }

  endStep(): void {
    this.kernels('endStep');
    this.step = { memory: this };
    this.#used = 0;
    this.#scratch = 0;
    if (this.#blocks.length > 1) {
      // The next step of this size finds one block that is large enough.
      const bytes = this.#blocks.reduce((sum, block) => sum + block.bytes, 0);
      for (const block of this.#blocks) this.release(block.address, block.bytes);
      this.#blocks = [];
      // More than one block can be is had in several again.
      if (bytes < BLOCK_LIMIT) this.#blocks.push({ address: this.allocate(bytes, 'scratch'), bytes });
    }
  }

  use(): MemoryUse {
    const { memory } = this.kernels('memory');
    return { weights: this.#weights, state: this.slots.bytes, scratch: this.#scratch, total: memory.buffer.byteLength };
  }

  dispose(): void {
    this.#pool?.dispose();
    this.#kernels = null;
    this.#floats = new Float32Array(0);
    this.#blocks = [];
  }
}
