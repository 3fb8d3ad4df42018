import { type Signal, signal } from '@preact/signals';
import { open } from '../../model.ts';
import { explain, explainTold, type Problem } from '../../problem.ts';
import { save } from '../../save.ts';
import { zip } from '../../zip.ts';
import { prompt } from '../playground/settings.ts';
import {
  filesOf,
  type TrainCheck,
  type TrainCommand,
  type TrainedFiles,
  type TrainFacts,
  type TrainMessage,
  type TrainProgress,
  type TrainRequest,
} from './messages.ts';
import { models } from './shapes.ts';

export type RunState =
  | { readonly kind: 'idle' }
  /** A vocabulary is being learned. */
  | { readonly kind: 'preparing'; readonly share: number }
  | { readonly kind: 'training' }
  /** A last look is taken before it pauses or ends. */
  | { readonly kind: 'ending' }
  | { readonly kind: 'paused' }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly problem: Problem };

export const run: Signal<RunState> = signal<RunState>({ kind: 'idle' });
/** What was asked for, of the run that is shown. */
export const asked: Signal<TrainRequest | null> = signal<TrainRequest | null>(null);
export const facts: Signal<TrainFacts | null> = signal<TrainFacts | null>(null);
/** All reports and looks so far; they stay after the end. */
export const reports: Signal<readonly TrainProgress[]> = signal<readonly TrainProgress[]>([]);
export const checks: Signal<readonly TrainCheck[]> = signal<readonly TrainCheck[]>([]);
/** The model, while the run is paused and after its end. */
export const trained: Signal<TrainedFiles | null> = signal<TrainedFiles | null>(null);

let worker: Worker | null = null;

const tell = (command: TrainCommand): void => worker?.postMessage(command);

function end(state: RunState): void {
  worker?.terminate();
  worker = null;
  run.value = state;
}

/** Trains in a worker of its own, whose memory goes with it. */
export function start(request: TrainRequest): void {
  asked.value = request;
  facts.value = null;
  reports.value = [];
  checks.value = [];
  trained.value = null;
  end({ kind: 'preparing', share: 0 });
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.onerror = ({ message }) => end({ kind: 'failed', problem: explain(new Error(message)) });
  worker.onmessage = ({ data }: MessageEvent<TrainMessage>) => {
    if (data.kind === 'preparing') {
      run.value = { kind: 'preparing', share: data.share };
    } else if (data.kind === 'begun') {
      facts.value = data.facts;
      run.value = { kind: 'training' };
    } else if (data.kind === 'progress') {
      reports.value = [...reports.value, data.progress];
    } else if (data.kind === 'check') {
      checks.value = [...checks.value, data.check];
    } else if (data.kind === 'error') {
      end({ kind: 'failed', problem: explainTold(data) });
    } else {
      trained.value = data.files;
      if (data.kind === 'done') end({ kind: 'done' });
      else run.value = { kind: 'paused' };
    }
  };
  tell({ kind: 'start', request });
}

/** After the step it is at; the model so far can be had meanwhile. */
export function pause(): void {
  if (run.peek().kind !== 'training') return;
  run.value = { kind: 'ending' };
  tell({ kind: 'wish', wish: 'pause' });
}

export function resume(): void {
  trained.value = null;
  run.value = { kind: 'training' };
  tell({ kind: 'wish', wish: 'go' });
}

/** Ends the run: what it has learned so far is the model. Before its first step there is none. */
export function stop(): void {
  if (run.peek().kind === 'preparing') {
    end({ kind: 'idle' });
  } else {
    run.value = { kind: 'ending' };
    tell({ kind: 'wish', wish: 'stop' });
  }
}

/** Back to the text and the settings. */
export function leave(): void {
  run.value = { kind: 'idle' };
}

/** What the model is called: `My Mamba`. */
const title = (): string => `My ${models.find(({ key }) => key === asked.peek()?.model)!.title}`;

/** A folder with the three files, as `mamba run` and transformers read it, packed as one. */
export function download(): void {
  const files = trained.peek();
  if (!files) return;
  const folder = title().toLowerCase().replaceAll(' ', '-');
  const packed = Object.entries(files).map(([name, content]) => ({
    name: `${folder}/${name}`,
    data: typeof content === 'string' ? new TextEncoder().encode(content) : content,
  }));
  save(zip(packed), `${folder}.zip`);
}

/** Opens the model in the playground, with the beginning that its samples had. */
export function tryIt(): void {
  const files = trained.peek();
  if (!files) return;
  prompt.value = checks.peek()[0]!.prompt;
  void open(filesOf(files), title());
  location.hash = '';
}
