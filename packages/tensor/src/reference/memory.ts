import type { MemoryUse, Segment, Slot, StateField } from '../backend.ts';
import {
  checkComplete,
  checkPiece,
  checkSlotLength,
  checkSlotValues,
  checkSpec,
  disposedError,
  elementCount,
  foreignError,
  staleError,
} from '../check.ts';
import { DTYPE_BYTES, type DType, decodeToF32 } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import type { ParameterSpec, Weight, WeightWriter } from '../weights.ts';
import type { FloatArray, Matrix, Run } from './matrix.ts';

const NAME = 'reference';

/** What a tensor of the reference backend points to. */
interface Scratch {
  readonly owner: ReferenceMemory;
  readonly step: number;
  readonly data: FloatArray;
}

/** The three lifetimes: who owns what, whether it is still alive, and how many bytes each takes. */
export class ReferenceMemory {
  readonly precision: 'f32' | 'f64';
  private readonly weights = new Map<Weight, FloatArray>();
  private readonly slots = new Map<Slot, FloatArray>();
  private weightBytes = 0;
  private stateBytes = 0;
  private scratchBytes = 0;
  private step = 0;
  private disposed = false;

  constructor(precision: 'f32' | 'f64') {
    this.precision = precision;
  }

  assertAlive(call: string): void {
    if (this.disposed) throw disposedError(NAME, call);
  }

  use(): MemoryUse {
    this.assertAlive('memory');
    const { weightBytes: weights, stateBytes: state, scratchBytes: scratch } = this;
    return { weights, state, scratch, total: weights + state + scratch };
  }

  /** A second call does nothing, so that clean-up code need not keep count. */
  dispose(): void {
    if (this.disposed) return;
    this.endStep();
    this.weights.clear();
    this.slots.clear();
    this.weightBytes = 0;
    this.stateBytes = 0;
    this.disposed = true;
  }

  private floats(length: number): FloatArray {
    return this.precision === 'f64' ? new Float64Array(length) : new Float32Array(length);
  }

  // Weights

  createWeight(spec: ParameterSpec, dtype: DType): WeightWriter {
    this.assertAlive('createWeight');
    checkSpec(spec, dtype);
    const values = this.floats(elementCount(spec.shape));
    const expected = values.length * DTYPE_BYTES[dtype];
    let written = 0;
    let open = true;
    this.weightBytes += values.byteLength;
    const assertOpen = (call: string): void => {
      this.assertAlive(call);
      if (!open) throw foreignError(NAME, `${call}: the writer of ${spec.name}, which was finished or aborted,`);
    };
    return {
      write: (piece) => {
        assertOpen('write');
        checkPiece(spec, dtype, piece.byteLength, written, expected);
        const decoded = decodeToF32(piece, dtype);
        const start = written / DTYPE_BYTES[dtype];
        const { map } = spec;
        for (let i = 0; i < decoded.length; i++) values[start + i] = map ? map(decoded[i]!) : decoded[i]!;
        written += piece.byteLength;
      },
      finish: () => {
        assertOpen('finish');
        checkComplete(spec, dtype, written, expected);
        open = false;
        return this.adopt(spec, values);
      },
      abort: () => {
        if (!open || this.disposed) return;
        open = false;
        this.weightBytes -= values.byteLength;
      },
    };
  }

  /** A weight from values as they are: no file dtype, no rounding but to the precision. */
  loadExact(spec: ParameterSpec, values: Float64Array): Weight {
    this.assertAlive('loadExact');
    checkSpec(spec, 'f32');
    const kept = this.floats(elementCount(spec.shape));
    checkComplete(spec, 'f32', 4 * values.length, 4 * kept.length);
    kept.set(spec.map ? values.map(spec.map) : values);
    this.weightBytes += kept.byteLength;
    return this.adopt(spec, kept);
  }

  private adopt(spec: ParameterSpec, values: FloatArray): Weight {
    const { name, role, shape } = spec;
    const weight: Weight = { name, role, shape, dtype: 'f32', bytes: values.byteLength };
    this.weights.set(weight, values);
    return weight;
  }

  freeWeight(weight: Weight): void {
    this.assertAlive('freeWeight');
    this.weightBytes -= this.weight('freeWeight', weight).byteLength;
    this.weights.delete(weight);
  }

  weight(call: string, weight: Weight): FloatArray {
    const values = this.weights.get(weight);
    if (values === undefined) throw foreignError(NAME, `${call}: weight ${weight.name}`);
    return values;
  }

  // State

  createSlot(length: number): Slot {
    this.assertAlive('createSlot');
    checkSlotLength(length);
    const slot: Slot = { length };
    const values = this.floats(length);
    this.slots.set(slot, values);
    this.stateBytes += values.byteLength;
    return slot;
  }

  freeSlot(slot: Slot): void {
    this.stateBytes -= this.slot('freeSlot', slot).byteLength;
    this.slots.delete(slot);
  }

  slot(call: string, slot: Slot): FloatArray {
    this.assertAlive(call);
    const values = this.slots.get(slot);
    if (values === undefined) throw foreignError(NAME, `${call}: the slot`);
    return values;
  }

  writeSlot(slot: Slot, values: FloatArray): void {
    const kept = this.slot('writeSlot', slot);
    checkSlotValues('writeSlot', slot, values.length);
    kept.set(values);
  }

  /** The segments with each one's piece of state. Throws before anything is changed. */
  runs(op: string, state: StateField, segments: readonly Segment[]): Run[] {
    const end = state.offset + elementCount(state.shape);
    return segments.map(({ start, length, reset, slot }) => ({
      start,
      length,
      reset,
      state: this.slot(op, slot).subarray(state.offset, end), // [slot] -> [field]
    }));
  }

  // Scratch

  /** A fresh tensor and its values, zeroed, contiguous. */
  scratch(rows: number, columns: number): { tensor: Tensor; data: FloatArray } {
    const data = this.floats(rows * columns);
    this.scratchBytes += data.byteLength;
    const storage: Scratch = { owner: this, step: this.step, data };
    return { tensor: { shape: [rows, columns], rowStride: columns, offset: 0, storage }, data };
  }

  /** Where the values of a live tensor of this backend are. Throws `FOREIGN` or `STALE_TENSOR`. */
  matrix(op: string, name: string, x: Tensor): Matrix {
    const storage = x.storage as Partial<Scratch> | null | undefined;
    if (storage?.owner !== this || storage.data === undefined) throw foreignError(NAME, `${op}: tensor ${name}`);
    if (storage.step !== this.step) throw staleError(NAME, `${op}: tensor ${name}`);
    const [rows, columns] = x.shape;
    if (rows > 0 && columns > 0 && x.offset + (rows - 1) * x.rowStride + columns > storage.data.length) {
      throw foreignError(NAME, `${op}: tensor ${name} reaches past its storage, which`);
    }
    return { data: storage.data, offset: x.offset, stride: x.rowStride, rows, columns };
  }

  endStep(): void {
    this.assertAlive('endStep');
    this.step++;
    this.scratchBytes = 0;
  }
}
