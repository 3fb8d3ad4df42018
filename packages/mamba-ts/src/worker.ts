// The browser's worker: a module worker that serves one model.
import { type BrowserSource, openBrowserSource } from './browser-source.ts';
import { serveModel } from './serve-model.ts';
import { LOCKED } from './worker-client.ts';

/** Holds the lock of the worker's name to its end: see `fromPretrained`. Secure pages have locks. */
const held = new Promise<void>((resolve) => {
  if (!navigator.locks) return resolve();
  const hold = (): Promise<never> => {
    self.postMessage(LOCKED);
    resolve();
    return new Promise(() => {});
  };
  navigator.locks.request(self.name, hold).catch(() => resolve());
});

serveModel(
  {
    post: (message) => self.postMessage(message),
    listen: (onMessage) => self.addEventListener('message', ({ data }) => onMessage(data)),
  },
  async (source: BrowserSource, options) => {
    await held;
    return openBrowserSource(source, options);
  },
);
