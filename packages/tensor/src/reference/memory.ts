import type { CacheField, MemoryUse, Segment, Slot, StateField } from '../backend.ts';
import type { BackwardSegment } from '../backward.ts';
import {
  checkComplete,
  checkPiece,
  checkSpec,
  disposedError,
  elementCount,
  foreignError,
  staleError,
} from '../check.ts';
import { checkWeightValues } from '../check-backward.ts';
import { checkRowCount, checkSlot, checkSlotPair, checkSlotRows, checkSlotValues, rowLength } from '../check-cache.ts';
import { decodeToF32 } from '../decode.ts';
import { bytesOf, type DType } from '../dtype.ts';
import type { Tensor } from '../tensor.ts';
import type { ParameterSpec, Weight, WeightWriter } from '../weights.ts';
import type { BackwardRun, FloatArray, Matrix, Run } from './matrix.ts';
import type { CachedRun } from './ops/attention.ts';

const NAME = 'reference';

/** What a tensor of the reference backend points to. */
interface Scratch {
  readonly owner: ReferenceMemory;
  readonly step: number;
  readonly data: FloatArray;
}

/** One sequence's block and rows. */
class ReferenceSlot implements Slot {
  readonly length: number;
  readonly caches: readonly CacheField[];
  readonly block: FloatArray;
  /** `[rows, rowLength]`. */
  cached: FloatArray;

  constructor(caches: readonly CacheField[], block: FloatArray, cached: FloatArray) {
    this.length = block.length;
    this.caches = caches;
    this.block = block;
    this.cached = cached;
  }
  get rowLength(): number {
    return rowLength(this.caches);
  }
  get rows(): number {
    return this.caches.length === 0 ? 0 : this.cached.length / this.rowLength;
  }
  get bytes(): number {
    return this.block.byteLength + this.cached.byteLength;
  }
}

/** The three lifetimes: who owns what, whether it is still alive, and how many bytes each takes. */
export class ReferenceMemory {
  readonly precision: 'f32' | 'f64';
  private readonly weights = new Map<Weight, FloatArray>();
  private readonly gradients = new Map<Weight, FloatArray>();
  private readonly slots = new Set<Slot>();
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
    this.gradients.clear();
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
    const expected = bytesOf(dtype, values.length);
    let written = 0;
    let next = 0;
    let open = true;
    this.weightBytes += values.byteLength;
    const assertOpen = (call: string): void => {
      this.assertAlive(call);
      if (!open) throw foreignError(NAME, `${call}: the writer of ${spec.name}, which was finished or aborted,`);
    };
    return {
      write: (piece) => {
        assertOpen('write');
        checkPiece(spec, dtype, piece, written, expected);
        const decoded = decodeToF32(piece, dtype);
        const { map } = spec;
        for (const value of decoded) values[next++] = map ? map(value) : value;
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
    this.weightBytes -= this.gradients.get(weight)?.byteLength ?? 0;
    this.gradients.delete(weight);
  }

  weight(call: string, weight: Weight): FloatArray {
    const values = this.weights.get(weight);
    if (values === undefined) throw foreignError(NAME, `${call}: weight ${weight.name}`);
    return values;
  }

  writeWeight(weight: Weight, values: FloatArray): void {
    this.assertAlive('writeWeight');
    checkWeightValues('writeWeight', weight, values.length);
    this.weight('writeWeight', weight).set(values);
  }

  trackGradient(weight: Weight): void {
    this.assertAlive('trackGradient');
    if (this.gradients.has(weight)) return;
    const gradient = this.floats(this.weight('trackGradient', weight).length);
    this.gradients.set(weight, gradient);
    this.weightBytes += gradient.byteLength;
  }

  /** The gradient of a weight, or null where it is not tracked. */
  gradient(weight: Weight): FloatArray | null {
    return this.gradients.get(weight) ?? null;
  }

  /** The gradient of a tracked weight. */
  trackedGradient(call: string, weight: Weight): FloatArray {
    this.assertAlive(call);
    const gradient = this.gradients.get(weight);
    if (gradient === undefined) throw foreignError(NAME, `${call}: a gradient of ${weight.name}`);
    return gradient;
  }

  // State

  createSlot(length: number, caches: readonly CacheField[]): Slot {
    this.assertAlive('createSlot');
    checkSlot(length, caches);
    const slot = new ReferenceSlot(caches, this.floats(length), this.floats(0));
    this.slots.add(slot);
    this.stateBytes += slot.bytes;
    return slot;
  }

  freeSlot(slot: Slot): void {
    this.stateBytes -= this.slot('freeSlot', slot).bytes;
    this.slots.delete(slot);
  }

  slot(call: string, slot: Slot): ReferenceSlot {
    this.assertAlive(call);
    if (!this.slots.has(slot)) throw foreignError(NAME, `${call}: the slot`);
    return slot as ReferenceSlot;
  }

  reserveRows(slot: Slot, rows: number): void {
    const own = this.slot('reserveRows', slot);
    checkRowCount('reserveRows', rows);
    if (rows <= own.rows || own.caches.length === 0) return;
    const grown = this.floats(rows * own.rowLength);
    grown.set(own.cached);
    this.stateBytes += grown.byteLength - own.cached.byteLength;
    own.cached = grown;
  }

  copySlot(from: Slot, to: Slot, rows: number): void {
    const [source, target] = [this.slot('copySlot', from), this.slot('copySlot', to)];
    checkSlotPair('copySlot', from, to, rows);
    this.reserveRows(to, rows);
    target.block.set(source.block);
    target.cached.set(source.cached.subarray(0, rows * source.rowLength));
  }

  zeroSlot(slot: Slot): void {
    const { block, cached } = this.slot('zeroSlot', slot);
    block.fill(0);
    cached.fill(0);
  }

  /** The block, then the first `rows` rows. */
  readSlot<A extends FloatArray>(slot: Slot, rows: number, make: (length: number) => A): A {
    const own = this.slot('readSlot', slot);
    checkSlotRows('readSlot', slot, rows);
    const out = make(own.length + rows * own.rowLength);
    out.set(own.block);
    out.set(own.cached.subarray(0, rows * own.rowLength), own.length);
    return out;
  }

  writeSlot(slot: Slot, values: FloatArray): void {
    const own = this.slot('writeSlot', slot);
    this.reserveRows(slot, checkSlotValues('writeSlot', slot, values.length));
    own.block.set(values.subarray(0, own.length));
    own.cached.set(values.subarray(own.length));
  }

  /** The segments with each one's piece of state. Throws before anything is changed. */
  runs(op: string, state: StateField, segments: readonly Segment[]): Run[] {
    const end = state.offset + elementCount(state.shape);
    return segments.map(({ start, length, reset, slot }) => ({
      start,
      length,
      reset,
      state: this.slot(op, slot).block.subarray(state.offset, end), // [slot] -> [field]
    }));
  }

  /** The segments with the pieces of their states and gradients that belong to `fields`. */
  backwardRuns(op: string, fields: readonly StateField[], segments: readonly BackwardSegment[]): BackwardRun[] {
    return segments.map(({ start, length, reset, slot, gradient }) => {
      const piecesOf = (of: Slot): FloatArray[] =>
        fields.map(({ offset, shape }) => this.slot(op, of).block.subarray(offset, offset + elementCount(shape)));
      return { start, length, reset, sequence: gradient, states: piecesOf(slot), gradients: piecesOf(gradient) };
    });
  }

  /** The segments with each one's rows, for which memory is reserved. Throws before anything is changed. */
  cachedRuns(op: string, segments: readonly Segment[]): CachedRun[] {
    return segments.map(({ start, length, position, slot }) => ({
      start,
      length,
      position: position ?? 0,
      rows: this.slot(op, slot).cached,
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
