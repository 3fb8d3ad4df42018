import { MambaError, type Segment } from '@mamba-ts/tensor';

/** Target of a row that the loss leaves out: the end of a document, a prompt that is only read. */
export const NO_TARGET = -1;

/** One pass: sequences packed one after another without padding. */
export interface Batch {
  /** `[T]`. */
  readonly ids: Int32Array;
  /** `[T]`: the id that should follow each row, or {@link NO_TARGET}. */
  readonly targets: Int32Array;
  /** Which rows belong to which sequence; `reset` where a document begins. */
  readonly segments: readonly Segment[];
}

/** How many rows have a target. */
export const countTargets = ({ targets }: Batch): number =>
  targets.reduce((count, target) => count + Number(target !== NO_TARGET), 0);

/** The rows that have a target, and their targets. Throws `ARGUMENT` where there is none. */
export function rowsWithTargets(targets: Int32Array): { rows: Int32Array; wanted: Int32Array } {
  const rows = Int32Array.from(targets.keys()).filter((row) => targets[row] !== NO_TARGET);
  if (rows.length === 0) {
    throw new MambaError('ARGUMENT', `a batch of ${targets.length} tokens has no target: its loss has no meaning`);
  }
  return { rows, wanted: rows.map((row) => targets[row]!) };
}
