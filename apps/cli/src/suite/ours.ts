import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openPage, type Page } from './browser.ts';
import type { Engine, Loaded, Speed, Work } from './engine.ts';
import { type CostedModel, loadForSpeed } from './speed.ts';

export type { CostedModel };

/** The folder of the package, in which dist, page and wasm lie. */
const home = (): string => dirname(dirname(fileURLToPath(import.meta.url)));

/** What we are in Node. */
export const oursInNode: Engine = {
  name: 'node',
  version: `Node ${process.versions.node}`,
  async load(file, threads, _, signal): Promise<CostedModel> {
    const { openNodeSource } = await import('mamba-ts/node');
    return loadForSpeed(await openNodeSource(file, { signal }), threads, signal);
  },
  async close() {},
};

/** The page's worker: page.ts. */
interface OurPage {
  ask(request: object): Promise<unknown>;
}

/** What we are in Chromium: the same code in a worker of a page. */
export const oursInChromium: Engine = {
  name: 'chromium',
  version: 'Chromium',
  async load(file, threads, _, signal): Promise<Loaded> {
    const folders = { page: join(home(), 'page'), wasm: join(home(), 'wasm') };
    const prepare = (page: Page): Promise<void> =>
      page.evaluate(async (count) => {
        const worker = new Worker('/page/page.js', { type: 'module' });
        // From the start: a worker that cannot be loaded says so once, perhaps before anything is asked.
        const failed = new Promise<never>((_, reject) => {
          worker.onerror = ({ message }) => reject(new Error(message ?? 'page.js was not found: build the CLI first'));
        });
        failed.catch(() => {});
        (globalThis as unknown as OurPage).ask = (request) => {
          const answered = new Promise((resolve, reject) => {
            worker.onmessage = ({ data }) => ('error' in data ? reject(new Error(data.error)) : resolve(data.result));
          });
          worker.postMessage(request);
          return Promise.race([answered, failed]);
        };
        const model = await (await fetch('/model')).blob();
        await (globalThis as unknown as OurPage).ask({ model: new File([model], 'model.gguf'), threads: count });
      }, threads);
    const { page, close } = await openPage(folders, file, prepare, signal);
    return {
      measure: (work) =>
        page.evaluate((asked: Work) => (globalThis as unknown as OurPage).ask(asked) as Promise<Speed>, work),
      close,
    };
  },
  async close() {},
};
