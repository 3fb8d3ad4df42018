// The browser's worker: a module worker that serves one model.
import { openBrowserSource } from './browser-source.ts';
import { serveModel } from './serve-model.ts';

serveModel(
  {
    post: (message) => self.postMessage(message),
    listen: (onMessage) => self.addEventListener('message', ({ data }) => onMessage(data)),
  },
  openBrowserSource,
);
