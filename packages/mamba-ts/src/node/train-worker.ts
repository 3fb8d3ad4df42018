// Node's worker for training: a thread that computes shares of steps.
import { parentPort } from 'node:worker_threads';
import { serveTraining } from '../serve-training.ts';

serveTraining({
  post: (message) => parentPort!.postMessage(message),
  listen: (onMessage) => parentPort!.on('message', onMessage),
});
