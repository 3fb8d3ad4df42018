import type { ToldError } from '../../problem.ts';
import type { ModelKey, SizeKey } from './shapes.ts';

/** What the page asks its worker to train. */
export interface TrainRequest {
  /** A text, or a file of text, which then never passes through the page. */
  readonly text: string | Blob;
  readonly model: ModelKey;
  readonly size: SizeKey;
  readonly minutes: number;
  /** The learning rate at its peak. */
  readonly rate: number;
}

/** What the page wants of a run on its way. */
export type Wish = 'go' | 'pause' | 'stop';

export type TrainCommand =
  | { readonly kind: 'start'; readonly request: TrainRequest }
  | { readonly kind: 'wish'; readonly wish: Wish };

/** What is trained, once it is known. */
export interface TrainFacts {
  readonly parameters: number;
  readonly characters: number;
  /** Of the text, training and validation. */
  readonly tokens: number;
  readonly vocabSize: number;
}

/** Where a run stands. */
export interface TrainProgress {
  readonly step: number;
  /** Read so far, those read again among them. */
  readonly tokens: number;
  /** Mean of the steps since the last report. Nats per token. */
  readonly loss: number;
  readonly tokensPerSecond: number;
  /** Of work, without pauses. */
  readonly secondsLeft: number;
}

/** A look at a run: how well it does on text that it never learns from, and what it writes. */
export interface TrainCheck {
  readonly step: number;
  /** Nats per token. */
  readonly validation: number;
  readonly prompt: string;
  readonly written: string;
}

/** The model of the lowest validation loss so far, as files. */
export interface TrainedFiles {
  readonly 'config.json': string;
  readonly 'tokenizer.json': string;
  readonly 'model.safetensors': Uint8Array<ArrayBuffer>;
}

/** They as files that a browser could have been given. */
export const filesOf = (files: TrainedFiles): File[] =>
  Object.entries(files).map(([name, content]) => new File([content], name));

/** What the worker says: in this order, but for the middle three, until `done` or `error`. */
export type TrainMessage =
  | { readonly kind: 'preparing'; readonly share: number }
  | { readonly kind: 'begun'; readonly facts: TrainFacts }
  | { readonly kind: 'progress'; readonly progress: TrainProgress }
  | { readonly kind: 'check'; readonly check: TrainCheck }
  | { readonly kind: 'paused'; readonly files: TrainedFiles }
  | { readonly kind: 'done'; readonly files: TrainedFiles }
  | ToldError;
