// Node's worker for training: a thread that computes shares of steps.
import { parentPort } from 'node:worker_threads';
import type { ShareResult } from '@mamba-ts/train';
import { serveTraining } from '../serve-training.ts';

/** The gradients in an answer, which are copies made for it: they move instead of being copied again. */
const moved = (message: unknown): ArrayBuffer[] => {
  const { gradients } = ((message as { value?: Partial<ShareResult> }).value ?? {}) as Partial<ShareResult>;
  return gradients ? [...gradients.values()].map(({ buffer }) => buffer as ArrayBuffer) : [];
};

serveTraining({
  post: (message) => parentPort!.postMessage(message, moved(message)),
  listen: (onMessage) => parentPort!.on('message', onMessage),
});
