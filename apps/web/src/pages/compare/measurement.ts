import type { CompareReport } from '@mamba-ts/lab';
import { type Signal, signal } from '@preact/signals';
import { explain, explainTold, type Problem } from '../../problem.ts';
import type { CompareMessage, CompareRequest } from './messages.ts';

export type MeasurementState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'running'; readonly what: string; readonly share: number }
  | { readonly kind: 'done' }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly problem: Problem };

export const measurement: Signal<MeasurementState> = signal<MeasurementState>({ kind: 'idle' });
/** What is measured so far; it stays after a cancel. */
export const report: Signal<CompareReport | null> = signal<CompareReport | null>(null);

let worker: Worker | null = null;

function end(state: MeasurementState): void {
  worker?.terminate();
  worker = null;
  measurement.value = state;
}

export function cancel(): void {
  end({ kind: 'cancelled' });
}

const WORDS = { 'warm-up': 'warming up', prefill: 'reading', decode: 'writing after' } as const;

/** Starts a measurement in a worker of its own, whose memory goes with it. */
export function measure(request: CompareRequest): void {
  worker?.terminate();
  report.value = null;
  measurement.value = { kind: 'running', what: 'Starting', share: 0 };
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.onerror = ({ message }) => end({ kind: 'failed', problem: explain(new Error(message)) });
  worker.onmessage = ({ data }: MessageEvent<CompareMessage>) => {
    if (data.kind === 'loading') {
      measurement.value = { kind: 'running', what: `Making random weights for ${data.model}`, share: 0 };
    } else if (data.kind === 'progress') {
      const { model, what, length, share } = data.progress;
      const tokens = what === 'warm-up' ? '' : ` ${length.toLocaleString('en-US')} tokens`;
      measurement.value = { kind: 'running', what: `${model}: ${WORDS[what]}${tokens}`, share };
    } else if (data.kind === 'error') {
      end({ kind: 'failed', problem: explainTold(data) });
    } else {
      report.value = data.report;
      if (data.kind === 'done') end({ kind: 'done' });
    }
  };
  worker.postMessage(request);
}
