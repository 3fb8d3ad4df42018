import type { TaskModelName } from './models.ts';
import type { TaskName } from './tasks.ts';

/** How many answers were right at one length. */
export interface TaskTest {
  /** As the task counts it. */
  readonly length: number;
  /** Sequences, none of which was trained on. */
  readonly sequences: number;
  /** Share of right answers. */
  readonly accuracy: number;
}

/** What became of one model. */
export interface TaskResult {
  readonly model: TaskModelName;
  readonly params: number;
  readonly steps: number;
  /** Of training, without the tests. */
  readonly seconds: number;
  /** Mean of the last steps, at most 50. Nats per answer. */
  readonly loss: number;
  /** At the length that was trained at; null where that is too long to test. */
  readonly accuracy: number | null;
  /** By length, ascending; lengths are missing whose sequences take more operations than a test may. */
  readonly by_length: readonly TaskTest[];
}

/** A task, and what became of each model. */
export interface TaskReport {
  readonly task: TaskName;
  /** Of the longest sequences to learn from. */
  readonly length: number;
  /** Of the shortest. */
  readonly from: number;
  readonly batch: number;
  readonly rate: number;
  readonly width: number;
  readonly layers: number;
  readonly seed: number;
  /** The accuracy of whoever guesses. */
  readonly chance: number;
  readonly models: readonly TaskResult[];
}
