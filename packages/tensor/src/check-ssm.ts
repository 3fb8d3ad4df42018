import type { Segment, StateField } from './backend.ts';
import { checkSegments, checkTensor, checkWeight } from './check.ts';
import { MambaError } from './errors.ts';
import type { Tensor } from './tensor.ts';
import type { Weight } from './weights.ts';

// What the recurrences of Mamba-2 and Mamba-3 ask of their arguments.

const shown = (dims: readonly number[]): string => `[${dims.join(', ')}]`;

/** The state is `[heads, width, states]` with whole numbers of at least 1. Throws `SHAPE`. */
function headsOf(op: string, state: StateField): [heads: number, width: number, states: number] {
  const { shape } = state;
  if (shape.length !== 3 || !shape.every((axis) => Number.isSafeInteger(axis) && axis > 0)) {
    throw new MambaError(
      'SHAPE',
      `${op}: state field ${state.name} has shape ${shown(shape)}, expected [heads, width, states]. ` +
        "Take the fields from the model's own state layout",
      { op, state: state.name, found: shape },
    );
  }
  return shape as unknown as [number, number, number];
}

/** `columns` are `each` for every one of a number of groups that divides the heads; gives that number. */
function groupsOf(op: string, name: string, columns: number, each: number, heads: number): number {
  const groups = columns / each;
  if (!Number.isInteger(groups) || groups < 1 || heads % groups !== 0) {
    throw new MambaError(
      'SHAPE',
      `${op}: ${name} has ${columns} columns, expected ${each} for each of a number of groups that divides the ${heads} ` +
        'heads. Check the number of groups in the config',
      { op, argument: name, found: columns, each, heads },
    );
  }
  return groups;
}

/**
 * Arguments of `ssd`: x `[T, H P]`, dt `[T, H]`, A and dtBias `[H]`, B and C `[T, G N]` where G divides H, D `[H]` or
 * `[H P]`, state `[H, P, N]`, 0 <= low <= high.
 */
export function checkSsd(
  x: Tensor,
  dt: Tensor,
  A: Weight,
  B: Tensor,
  C: Tensor,
  D: Weight | null,
  dtBias: Weight | null,
  dtLimit: readonly [low: number, high: number],
  state: StateField,
  segments: readonly Segment[],
): void {
  const op = 'ssd';
  const [heads, width, states] = headsOf(op, state);
  checkTensor(op, 'x', x, undefined, heads * width);
  const rows = x.shape[0];
  checkTensor(op, 'dt', dt, rows, heads);
  checkWeight(op, 'A', A, 'vector', heads);
  groupsOf(op, 'B', B.shape[1], states, heads);
  checkTensor(op, 'B', B, rows);
  checkTensor(op, 'C', C, rows, B.shape[1]);
  if (D !== null) checkWeight(op, 'D', D, 'vector', D.shape[0] === heads ? heads : heads * width);
  if (dtBias !== null) checkWeight(op, 'dtBias', dtBias, 'vector', heads);
  const [low, high] = dtLimit;
  if (!(low >= 0 && low <= high)) {
    throw new MambaError('ARGUMENT', `${op}: dtLimit is ${shown(dtLimit)}, expected 0 <= low <= high`, { op, dtLimit });
  }
  checkSegments(op, rows, state, segments);
}
