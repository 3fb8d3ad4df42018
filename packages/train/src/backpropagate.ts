import { type Batch, rowsWithTargets } from './batch.ts';
import { Tape, type TapeOptions } from './tape.ts';
import type { Trainable } from './trainable.ts';

/** What one pass tells. */
export interface LossOfPass {
  /** Sum over the targets, in nats. */
  readonly nats: number;
  /** Targets. */
  readonly count: number;
}

/**
 * Reads a batch forward and backward: adds the gradient of `scale * sum of nats` to that of every parameter. `scale` is 1 /
 * targets where left out, which makes it the mean; a step of several batches gives 1 / targets of all of them. States in
 * `batch.segments` advance.
 */
export async function backpropagate(
  model: Trainable,
  batch: Batch,
  scale?: number,
  options: TapeOptions = {},
): Promise<LossOfPass> {
  const { backend } = model;
  const count = rowsWithTargets(batch.targets).rows.length;
  const tape = new Tape(backend, options);
  try {
    const losses = model.losses(tape, batch); // [targets, 1]
    tape.backward(losses, backend.upload(new Float32Array(count).fill(scale ?? 1 / count), [count, 1]));
    await model.collect?.(tape);
    const nats = (await backend.read(tape.value(losses))).reduce((sum, value) => sum + value, 0);
    return { nats, count };
  } finally {
    tape.dispose();
    backend.endStep();
  }
}
