// Node's worker: a worker thread that serves one model.
import { parentPort } from 'node:worker_threads';
import { serveModel } from '../serve-model.ts';
import { openNodeSource } from './source.ts';

serveModel(
  {
    post: (message) => parentPort!.postMessage(message),
    listen: (onMessage) => parentPort!.on('message', onMessage),
  },
  openNodeSource,
);
