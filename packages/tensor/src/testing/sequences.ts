import type { Backend, CacheField, OpName, Segment, Slot, StateField, UpdateSkipping } from '../backend.ts';
import { rowLength } from '../check-cache.ts';
import { columns, type Tensor } from '../tensor.ts';
import { type OpCase, type Outcome, type Scope, scoped } from './cases.ts';
import type { Random } from './random.ts';

/** One sequence with its own slot. */
export interface Sequence {
  readonly length: number;
  /** One array per input of the op: `[length, width]` each. */
  readonly inputs: readonly Float32Array[];
  /** Rows before which the state is zeroed, ascending; `length` zeroes it after the last row. */
  readonly resets: readonly number[];
  /** The field's values before the first row; with caches, the rows before it. */
  readonly initial: Float32Array;
  /** Tokens before the first row; 0 where left out. */
  readonly position?: number;
}

/** Tokens of the sequence before its row `row`, and since the last reset before it. */
export function positionAt({ resets, position = 0 }: Sequence, row: number): number {
  const reset = resets.findLast((at) => at <= row);
  return reset === undefined ? position + row : row - reset;
}

/** The next `length` rows of sequence `sequence`, which begin at its row `start`. */
export interface Piece {
  readonly sequence: number;
  readonly start: number;
  readonly length: number;
  readonly reset: boolean;
}

/** How the rows are served: each call packs the pieces it lists. */
export type Plan = readonly (readonly Piece[])[];

export interface SequenceCase extends OpCase {
  /** The same case served by another plan: the outcome must not depend on it. */
  planned(plan: Plan, name: string): SequenceCase;
  readonly sequences: readonly Sequence[];
}

export interface SequenceSpec {
  readonly op: OpName;
  readonly label: string;
  /** Columns of each input. */
  readonly widths: readonly number[];
  readonly field: StateField;
  /** What a cached row is made of; none where left out. The state of a sequence is its rows then. */
  readonly caches?: readonly CacheField[];
  /** Rows per token of each input, and of the output; 1 where left out. */
  readonly perToken?: readonly number[];
  /** Below which updates are skipped; none where left out. What was skipped is compared, too. */
  readonly skipBelow?: number | undefined;
  /** Elements of the slot behind the field: another layer's, to be left alone. */
  readonly tail: number;
  readonly sequences: readonly Sequence[];
  /** The first elements of the field are angles: their sines and cosines are compared, so that 0 is near 2 pi. */
  readonly angles?: number;
  /** All inputs as views of one tensor, as the split of a projection makes them, or each on its own. */
  readonly packed: boolean;
  readonly plan: Plan;
  /** Loads the weights, and gives the op on them. */
  readonly load: (
    scope: Scope,
    skipping?: UpdateSkipping,
  ) => (inputs: readonly Tensor[], segments: readonly Segment[]) => Tensor;
  /** Magnitudes of one sequence's outputs and last state. */
  readonly bound: (sequence: Sequence) => { y: Float64Array; state: Float64Array | null };
}

/** What stands in a slot outside the op's field. */
const SENTINEL = 12345.5;

/** One call with every sequence whole, cut only where its state is reset. */
export function wholePlan(sequences: readonly Sequence[]): Plan {
  return [sequences.flatMap((sequence, s) => piecesOf(sequence, s, []))];
}

/** Each sequence cut at `cuts` (and at its resets), one call per piece. */
export function chunkedPlan(sequences: readonly Sequence[], size: number): Plan {
  return sequences.flatMap((sequence, s) => {
    const cuts = Array.from({ length: Math.ceil(sequence.length / size) }, (_, i) => i * size);
    return piecesOf(sequence, s, cuts).map((piece) => [piece]);
  });
}

/** The pieces between `cuts` and resets, in order. */
export function piecesOf(sequence: Sequence, index: number, cuts: readonly number[]): Piece[] {
  const borders = [...new Set([0, ...cuts, ...sequence.resets])]
    .filter((b) => b === 0 || b < sequence.length || sequence.resets.includes(b))
    .sort((a, b) => a - b);
  return borders.map((start, i) => ({
    sequence: index,
    start,
    length: (borders[i + 1] ?? sequence.length) - start,
    reset: sequence.resets.includes(start),
  }));
}

export function sequenceCase(spec: SequenceSpec): SequenceCase {
  const outcome = (backend: Backend): Promise<Outcome> => runSequences(backend, spec);
  return {
    op: spec.op,
    label: `${spec.label}, lengths ${spec.sequences.map((s) => s.length).join(' ')}${spec.packed ? ', split' : ''}`,
    sequences: spec.sequences,
    run: outcome,
    async bounds() {
      const bounds: Record<string, ArrayLike<number>> = {};
      for (const [s, sequence] of spec.sequences.entries()) {
        const { y, state } = spec.bound(sequence);
        bounds[`y of sequence ${s}`] = y;
        if (state) bounds[`state of sequence ${s}`] = onCircle(state, spec.angles ?? 0, (error) => [error, error]);
      }
      return bounds;
    },
    planned: (plan, name) => sequenceCase({ ...spec, plan, label: `${spec.label}, ${name}` }),
  };
}

async function runSequences(backend: Backend, spec: SequenceSpec): Promise<Outcome> {
  const { field, sequences, widths, caches = [] } = spec;
  const size = caches.length > 0 ? 0 : (sequences[0]?.initial.length ?? 0);
  const slots: Slot[] = [];
  try {
    return await scoped(backend, async (scope) => {
      for (const sequence of sequences) {
        const slot = backend.createSlot(field.offset + size + spec.tail, caches);
        slots.push(slot);
        const cached = caches.length > 0 ? sequence.initial.length : 0;
        const values = new Float32Array(slot.length + cached).fill(SENTINEL);
        values.set(sequence.initial, caches.length > 0 ? slot.length : field.offset);
        backend.writeSlot(slot, values);
      }
      const skipping = spec.skipBelow === undefined ? undefined : { below: spec.skipBelow, updates: 0, skipped: 0 };
      const op = spec.load(scope, skipping);
      const parts = sequences.map((): ArrayLike<number>[] => []);
      for (const call of spec.plan) {
        let start = 0;
        const segments = call.map((piece): Segment => {
          const slot = slots[piece.sequence]!;
          const position = positionAt(sequences[piece.sequence]!, piece.start);
          const segment = { start, length: piece.length, slot, reset: piece.reset, position };
          backend.reserveRows(slot, position + piece.length);
          start += piece.length;
          return segment;
        });
        const inputs = widths.map((width, i) => {
          const each = width * (spec.perToken?.[i] ?? 1);
          const rows = new Float32Array(start * each);
          for (const [p, piece] of call.entries()) {
            const from = piece.start;
            const values = sequences[piece.sequence]!.inputs[i]!;
            rows.set(values.subarray(from * each, (from + piece.length) * each), segments[p]!.start * each);
          }
          return rows;
        });
        const views = spec.packed
          ? packedViews(scope, inputs, widths, start * (spec.perToken?.[0] ?? 1))
          : plainViews(scope, inputs, widths, start, spec.perToken);
        const y = op(views, segments);
        const values = Array.from(await scope.read(y));
        const each = start === 0 ? 0 : values.length / start;
        for (const [p, piece] of call.entries()) {
          const from = segments[p]!.start * each;
          parts[piece.sequence]!.push(values.slice(from, from + piece.length * each));
        }
      }
      const result: Record<string, ArrayLike<number>> = {};
      if (skipping) result['updates and skipped ones'] = [skipping.updates, skipping.skipped];
      for (const [s, slot] of slots.entries()) {
        const sequence = sequences[s]!;
        const rows = caches.length > 0 ? positionAt(sequence, sequence.length) : 0;
        const left = await readSlot(backend, slot, rows);
        result[`y of sequence ${s}`] = parts[s]!.flatMap((part) => Array.from(part));
        if (caches.length > 0)
          result[`rows of sequence ${s}`] = left.slice(slot.length, slot.length + rows * rowLength(caches));
        const state = left.slice(field.offset, field.offset + size);
        result[`state of sequence ${s}`] = onCircle(state, spec.angles ?? 0, (x) => [Math.cos(x), Math.sin(x)]);
        result[`slot around the state of sequence ${s}`] = [
          ...left.slice(0, field.offset),
          ...left.slice(field.offset + size, slot.length),
        ];
      }
      return result;
    });
  } finally {
    for (const slot of slots) backend.freeSlot(slot);
  }
}

/** The first `angles` elements as points, the others as they are. */
function onCircle(
  state: ArrayLike<number>,
  angles: number,
  point: (value: number) => [number, number],
): ArrayLike<number> {
  if (angles === 0) return state;
  const values = Array.from(state);
  return [...values.slice(0, angles).flatMap(point), ...values.slice(angles)];
}

function readSlot(backend: Backend, slot: Slot, rows: number): Promise<Float32Array | Float64Array> {
  const exact = (backend as { readSlotExact?: (slot: Slot, rows: number) => Promise<Float64Array> }).readSlotExact;
  return exact ? exact(slot, rows) : backend.readSlot(slot, rows);
}

/** Each input on its own; those of several rows per token as views of wider rows. */
function plainViews(
  scope: Scope,
  inputs: readonly Float32Array[],
  widths: readonly number[],
  tokens: number,
  perToken?: readonly number[],
): Tensor[] {
  return inputs.map((values, i) =>
    perToken ? scope.view(values, tokens * perToken[i]!, widths[i]!, 1, i) : scope.view(values, tokens, widths[i]!),
  );
}

/** `[T, 1 + sum(widths) + 2]`, NaN at both ends -> a view per input. */
function packedViews(scope: Scope, inputs: readonly Float32Array[], widths: readonly number[], rows: number): Tensor[] {
  const stride = 3 + widths.reduce((a, b) => a + b, 0);
  const all = new Float32Array(rows * stride).fill(Number.NaN);
  let start = 1;
  const starts = widths.map((width, i) => {
    for (let t = 0; t < rows; t++) all.set(inputs[i]!.subarray(t * width, (t + 1) * width), t * stride + start);
    start += width;
    return start - width;
  });
  const parent = scope.backend.upload(all, [rows, stride]);
  return starts.map((from, i) => columns(parent, from, widths[i]!));
}

/** Every sequence cut at random, with pieces of no rows among them, packed at random into calls. */
export function randomPlan(random: Random, sequences: readonly Sequence[]): Plan {
  const queues = sequences.map((sequence, s) => {
    const cuts = Array.from({ length: random.integer(0, 3) }, () => random.integer(0, sequence.length));
    const pieces = piecesOf(sequence, s, cuts);
    const last = pieces.at(-1)!;
    if (random.chance(0.3)) pieces.push({ sequence: s, start: last.start + last.length, length: 0, reset: false });
    return pieces;
  });
  const calls: Piece[][] = [];
  for (
    let waiting = queues.filter((q) => q.length > 0);
    waiting.length > 0;
    waiting = waiting.filter((q) => q.length > 0)
  ) {
    const call: Piece[] = [];
    for (const queue of waiting) {
      if (!random.chance(0.7)) continue;
      call.push(...queue.splice(0, random.integer(1, 2)));
    }
    if (call.length > 0) calls.push(call);
  }
  return calls;
}
