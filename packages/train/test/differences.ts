import type { Slot } from '@mamba-ts/tensor';
import { createReferenceBackend, type ReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect } from 'vitest';
import { type Batch, Tape, type TrainableModel } from '../src/index.ts';
import { testBatch, trainableFixture } from './fixture.ts';

/** Past a chunk of 32 rows whose states are computed again; two documents in one slot, the last of one token. */
export const LENGTHS = [35, 6, 1] as const;
/** Tokens that the first sequence has read before: rows of a cache, where there is one. */
export const BEFORE = 3;

export const random = (seed: number): (() => number) => {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 31 - 1;
  };
};

export interface Case {
  readonly backend: ReferenceBackend;
  readonly model: TrainableModel;
  readonly batch: Batch;
  /** State of the first sequence before the pass. */
  readonly initial: Float64Array;
  readonly going: Slot;
}

/** A fixture in f64, as `load` makes it trainable, with a batch and a state to begin with. */
export async function prepare(name: string, load: typeof trainableFixture = trainableFixture): Promise<Case> {
  const backend = createReferenceBackend({ precision: 'f64' });
  const model = await load(name, backend);
  const { length, caches, rowLength } = model.definition.state;
  const before = caches.length > 0 ? BEFORE : 0;
  const uniform = random(7);
  const initial = Float64Array.from({ length: length + before * rowLength }, () => uniform());
  const slots = [backend.createSlot(length, caches), backend.createSlot(length, caches)];
  for (const slot of slots) backend.reserveRows(slot, before + Math.max(...LENGTHS));
  const batch = testBatch(model, LENGTHS, slots);
  const [first, ...others] = batch.segments;
  return {
    backend,
    model,
    batch: { ...batch, segments: [{ ...first!, position: before }, ...others] },
    initial,
    going: slots[0]!,
  };
}

/** Mean loss in f64, and its gradients where asked for. */
export async function meanLoss(
  { backend, model, batch, initial, going }: Case,
  tape = new Tape(backend),
  back = false,
): Promise<number> {
  backend.writeSlot(going, initial);
  const losses = model.losses(tape, batch);
  const values = await backend.readExact(tape.value(losses));
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (back)
    tape.backward(losses, backend.upload(new Float64Array(values.length).fill(1 / values.length), [values.length, 1]));
  else tape.dispose();
  backend.endStep();
  return mean;
}

/** Directional derivatives by central differences and by the gradient must agree. */
export async function compare(
  label: string,
  c: Case,
  values: Float64Array,
  gradient: Float64Array,
  write: (values: Float64Array) => void,
): Promise<void> {
  const uniform = random(label.length);
  for (let k = 0; k < 2; k++) {
    const direction = values.map(() => uniform());
    const step = 1e-5;
    const losses: number[] = [];
    for (const sign of [1, -1, 2, -2]) {
      write(values.map((value, i) => value + sign * step * direction[i]!));
      losses.push(await meanLoss(c));
    }
    write(values);
    const [one, back, two, twoBack] = losses as [number, number, number, number];
    const difference = (8 * (one - back) - (two - twoBack)) / (12 * step); // its error is of the order of step^4
    const slope = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
    expect(Math.abs(slope), `${label} hardly matters`).toBeGreaterThan(1e-5);
    expect(Math.abs(slope - difference), `${label}: ${slope} against ${difference}`).toBeLessThanOrEqual(
      1e-6 * Math.abs(difference) + 1e-9,
    );
  }
}

/** `compare` for every parameter of the model; gradients and values in f64. */
export async function compareParameters(c: Case): Promise<void> {
  const { backend, model } = c;
  for (const { spec, weight, values } of model.parameters.values()) {
    const used = await backend.readGradientExact(weight);
    const exact = Float64Array.from(values);
    const gradient = used.map((value, i) => (spec.slope ? value * spec.slope(exact[i]!) : value));
    await compare(spec.name, c, exact, gradient, (now) =>
      backend.writeWeight(weight, spec.map ? now.map(spec.map) : now),
    );
  }
}
