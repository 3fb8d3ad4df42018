import type { BackwardRun, FloatArray } from './matrix.ts';

/** Rows whose states are held at once; before each such chunk one state is kept. */
const CHUNK = 32;

type State = readonly FloatArray[];

const copy = (state: State): State => state.map((field) => field.slice());

/**
 * Walks the runs of a recurrence backward. States are computed again instead of stored: a first sweep keeps one in
 * front of every chunk of rows, a second goes through the chunks from the last to the first, runs each forward once more
 * and then its rows backward.
 *
 * `forward` takes row t and the state before it, which it advances. `backward` takes row t, the states before and after
 * it and the gradient to the state after it, which it replaces by that to the state before. Gradients to initial states
 * are left in the runs'; a reset ends them.
 */
export function backwardThroughTime(
  runs: readonly BackwardRun[],
  forward: (t: number, state: State) => void,
  backward: (t: number, before: State, after: State, gradient: State) => void,
): void {
  const current = new Map<unknown, State>();
  const chunks: { run: BackwardRun; start: number; end: number; state: State }[] = [];
  for (const run of runs) {
    const state = copy(run.reset ? run.states : (current.get(run.sequence) ?? run.states));
    if (run.reset) for (const field of state) field.fill(0);
    current.set(run.sequence, state);
    const end = run.start + run.length;
    let start = run.start;
    do {
      const next = Math.min(start + CHUNK, end);
      chunks.push({ run, start, end: next, state: copy(state) });
      for (let t = start; t < next; t++) forward(t, state);
      start = next;
    } while (start < end);
  }
  for (const { run, start, end, state } of chunks.reverse()) {
    const states = [state];
    for (let t = start; t < end; t++) {
      const next = copy(states[t - start]!);
      forward(t, next);
      states.push(next);
    }
    for (let t = end - 1; t >= start; t--) backward(t, states[t - start]!, states[t - start + 1]!, run.gradients);
    if (run.reset && start === run.start) for (const field of run.gradients) field.fill(0);
  }
}
