import { join } from 'node:path';
import { openPage, type Page } from './browser.ts';
import { contextFor, type Engine, type Loaded } from './engine.ts';
import { installed } from './install.ts';

const VERSION = '3.8.1';

/** What the page holds between two calls. */
interface WllamaPage {
  wllama: {
    loadModel(blobs: readonly Blob[], options: object): Promise<void>;
    createCompletion(options: object): Promise<{ timings: Timings }>;
  };
}

interface Timings {
  readonly prompt_n: number;
  readonly prompt_ms: number;
  readonly predicted_n: number;
  readonly predicted_ms: number;
}

/**
 * wllama, llama.cpp in WebAssembly, in Chromium; by its own clocks. It takes text only, here such that hardly any
 * vocabulary joins two of its characters into one token. One token is favoured beyond all others, for bytes that are no UTF-8
 * make it throw.
 */
export const wllama: Engine = {
  name: 'wllama',
  version: `@wllama/wllama ${VERSION}`,

  async load(file, threads, work, signal): Promise<Loaded> {
    const place = await installed({ '@wllama/wllama': VERSION }, signal);
    const folder = join(place, 'node_modules/@wllama/wllama/esm');
    const prepare = (page: Page): Promise<void> =>
      page.evaluate(
        async ({ address, count, context }) => {
          // Of the page, not of this bundle.
          const { Wllama } = await import(`${address}/index.js`);
          const wllama = new Wllama({ default: `${address}/wasm/wllama.wasm` }, { suppressNativeLog: true });
          const model = await (await fetch('/model')).blob();
          await wllama.loadModel([model], { n_threads: count, n_ctx: context, n_batch: 512, n_gpu_layers: 0 });
          (globalThis as unknown as WllamaPage).wllama = wllama;
        },
        { address: '/wllama', count: threads, context: contextFor(work) },
      );
    const { page, close } = await openPage({ wllama: folder }, file, prepare, signal);
    return {
      async measure({ promptTokens, genTokens }) {
        const { prompt_n, prompt_ms, predicted_n, predicted_ms } = await page.evaluate(
          async ({ prompt, tokens }) => {
            const { wllama } = globalThis as unknown as WllamaPage;
            const options = { temperature: 0, ignore_eos: true, cache_prompt: false, logit_bias: [['a', 1e3]] };
            return (await wllama.createCompletion({ prompt, max_tokens: tokens, ...options })).timings;
          },
          { prompt: 'q!'.repeat(promptTokens).slice(0, promptTokens), tokens: genTokens },
        );
        return { prefill: (1000 * prompt_n) / prompt_ms, decode: (1000 * predicted_n) / predicted_ms };
      },
      close,
    };
  },

  async close() {},
};
