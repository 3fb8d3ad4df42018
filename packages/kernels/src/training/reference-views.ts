import {
  type BackwardSegment,
  checkRole,
  elementCount,
  type Segment,
  type Slot,
  type StateField,
  type Tensor,
  type Weight,
} from '@mamba-ts/tensor';
import type { BackwardMemory, BackwardRun, FloatArray, Matrix } from '@mamba-ts/tensor/reference';
import type { WasmMemory } from '../memory.ts';
import { ownWeight } from '../weights.ts';
import type { Gradients } from './gradients.ts';

/** A WebAssembly memory as the backward ops of the reference see it: views, which die when it grows. */
export class ReferenceViews implements BackwardMemory {
  readonly #memory: WasmMemory;
  readonly #gradients: Gradients;
  /** Copies of the blocks and rows of slots whose caches an op works on: rows do not lie one after another in pages. */
  readonly #caches = new Map<Slot, Float32Array>();

  constructor(memory: WasmMemory, gradients: Gradients) {
    this.#memory = memory;
    this.#gradients = gradients;
  }

  assertAlive(call: string): void {
    this.#memory.kernels(call);
  }

  scratch(rows: number, columns: number): { tensor: Tensor; data: FloatArray } {
    const tensor = this.#memory.tensor(rows, columns);
    return { tensor, data: this.#slice(4 * tensor.offset, rows * columns) };
  }

  matrix(op: string, name: string, x: Tensor): Matrix {
    const offset = this.#memory.address(op, name, x) / 4;
    return { data: this.#memory.floats(), offset, stride: x.rowStride, rows: x.shape[0], columns: x.shape[1] };
  }

  weight(op: string, weight: Weight): FloatArray {
    checkRole(op, 'the weight', weight, 'vector');
    return this.#slice(ownWeight(this.#memory, op, weight).address, elementCount(weight.shape));
  }

  gradient(weight: Weight): FloatArray | null {
    return this.#gradients.of(weight) ? this.#gradients.view('gradient', weight) : null;
  }

  backwardRuns(op: string, fields: readonly StateField[], segments: readonly BackwardSegment[]): BackwardRun[] {
    return segments.map(({ start, length, reset, slot, gradient }) => {
      const piecesOf = (of: Slot): FloatArray[] =>
        fields.map((field) => this.#slice(this.#memory.slots.field(op, of, field), elementCount(field.shape)));
      return { start, length, reset, sequence: gradient, states: piecesOf(slot), gradients: piecesOf(gradient) };
    });
  }

  cachedRuns(op: string, segments: readonly Segment[]): ReturnType<BackwardMemory['cachedRuns']> {
    return segments.map(({ start, length, position, slot }) => {
      const own = this.#memory.slots.get(op, slot);
      const all = this.#caches.get(slot) ?? this.#memory.slots.read(slot, own.rows);
      this.#caches.set(slot, all);
      return { start, length, position: position ?? 0, rows: all.subarray(own.length) };
    });
  }

  /** Runs an op on copies of caches, and puts them back. */
  withCaches(run: () => void): void {
    this.#caches.clear();
    run();
    for (const [slot, values] of this.#caches) this.#memory.slots.write(slot, values);
    this.#caches.clear();
  }

  #slice(address: number, length: number): Float32Array {
    return this.#memory.floats().subarray(address / 4, address / 4 + length);
  }
}
