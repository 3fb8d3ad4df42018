import type { Mamba3Form, Mamba3State, Ops, Segment, StateField, UpdateSkipping } from './backend.ts';
import { checkSegments, checkSkipping, checkTensor, checkWeight } from './check.ts';
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
  skipping?: UpdateSkipping,
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
  checkSkipping(op, skipping);
}

/** `w` is a vector of just these dimensions. Throws `ROLE` or `SHAPE`. */
function checkVector(op: string, name: string, w: Weight, dims: readonly number[]): void {
  if (w.role === 'vector' && w.shape.length === dims.length && w.shape.every((axis, i) => axis === dims[i])) return;
  throw new MambaError(
    w.role === 'vector' ? 'SHAPE' : 'ROLE',
    `${op}: ${name} (${w.name}) is a ${w.role} of shape ${shown(w.shape)}, expected a vector of ${shown(dims)}. ` +
      'Check the sizes in the config against the checkpoint',
    { op, argument: name, weight: w.name, expected: dims, found: w.shape },
  );
}

function checkField(op: string, field: StateField, dims: readonly number[]): void {
  if (field.shape.length === dims.length && field.shape.every((axis, i) => axis === dims[i])) return;
  throw new MambaError(
    'SHAPE',
    `${op}: state field ${field.name} has shape ${shown(field.shape)}, expected ${shown(dims)}. ` +
      "Take the fields from the model's own state layout",
    { op, state: field.name, expected: dims, found: field.shape },
  );
}

/** Arguments of `mamba3Scan`: shapes as `Ops.mamba3Scan` states them; gives the rank R. */
export function checkMamba3Scan(
  inputs: Parameters<Ops['mamba3Scan']>[0],
  weights: Parameters<Ops['mamba3Scan']>[1],
  form: Mamba3Form,
  state: Mamba3State,
  segments: readonly Segment[],
): number {
  const op = 'mamba3Scan';
  const [heads, width, states] = headsOf(op, state.ssm);
  const { x, dt, a, trap, angle, B, C } = inputs;
  checkTensor(op, 'x', x, undefined, heads * width);
  const rows = x.shape[0];
  for (const [name, tensor] of Object.entries({ dt, a, trap })) checkTensor(op, name, tensor, rows, heads);
  checkTensor(op, 'angle', angle, rows);
  const angles = angle.shape[1];
  if (2 * angles > states || (form.rotation === 'halves' && states % 2 === 1)) {
    throw new MambaError(
      'SHAPE',
      `${op}: ${angles} angles turn ${2 * angles} of ${states} states in ${form.rotation}, expected at most all of them` +
        `${form.rotation === 'halves' ? ', and an even number of states' : ''}. Check rope_fraction and d_state in the config`,
      { op, angles, states, rotation: form.rotation },
    );
  }
  const rank = state.k.shape[0] ?? 0;
  checkField(op, state.k, [rank, heads, states]);
  checkField(op, state.angle, [heads, angles]);
  checkField(op, state.v, [heads, width]);
  groupsOf(op, 'B', B.shape[1], rank * states, heads);
  checkTensor(op, 'B', B, rows);
  checkTensor(op, 'C', C, rows, B.shape[1]);
  checkVector(op, 'dtBias', weights.dtBias, [heads]);
  checkVector(op, 'D', weights.D, [heads]);
  checkVector(op, 'biasB', weights.biasB, [heads, rank, states]);
  checkVector(op, 'biasC', weights.biasC, [heads, rank, states]);
  if (weights.mimoX !== null) checkVector(op, 'mimoX', weights.mimoX, [heads, rank, width]);
  if (!(form.floor >= 0 && form.floor < Number.POSITIVE_INFINITY)) {
    throw new MambaError('ARGUMENT', `${op}: floor is ${form.floor}, expected a finite number of at least 0`, { op });
  }
  for (const field of [state.angle, state.ssm, state.k, state.v]) checkSegments(op, rows, field, segments);
  return rank;
}

/** Arguments of `mimoGate`: y `[T, R H P]`, gate `[T, H P]`, wGate and wOut `[H, R, P]`. */
export function checkMimoGate(y: Tensor, gate: Tensor, wGate: Weight, wOut: Weight): void {
  const op = 'mimoGate';
  const [heads = 0, rank = 0, width = 0] = wGate.shape;
  checkVector(op, 'wGate', wGate, [heads, rank, width]);
  checkVector(op, 'wOut', wOut, [heads, rank, width]);
  checkTensor(op, 'gate', gate, undefined, heads * width);
  checkTensor(op, 'y', y, gate.shape[0], rank * heads * width);
}
