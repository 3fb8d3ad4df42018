import type { CompareProgress, CompareReport } from '@mamba-ts/lab';
import type { ToldError } from '../../problem.ts';
import type { Candidate } from './sizes.ts';

/** What the page asks its worker to measure. */
export interface CompareRequest {
  readonly candidates: readonly Candidate[];
  readonly lengths: readonly number[];
  readonly budgetSeconds: number;
}

/** What the worker says, in any number and order, until `done` or `error`. */
export type CompareMessage =
  | { readonly kind: 'loading'; readonly model: string }
  | { readonly kind: 'progress'; readonly progress: CompareProgress }
  | { readonly kind: 'report'; readonly report: CompareReport }
  | { readonly kind: 'done'; readonly report: CompareReport }
  | ToldError;
