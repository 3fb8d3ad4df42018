/** The worker of the page in which we are measured in Chromium (ours.ts): it answers one request after the other. */
import { openFiles, openModel } from '@mamba-ts/loaders';
import type { Loaded, Work } from './engine.ts';
import { loadForSpeed } from './speed.ts';

let loaded: Loaded;

async function answer(request: { readonly model: File; readonly threads: number } | Work): Promise<unknown> {
  if ('model' in request) {
    loaded = await loadForSpeed(await openModel(openFiles([request.model])), request.threads);
    return null;
  }
  return loaded.measure(request, new AbortController().signal);
}

addEventListener('message', async ({ data }) => {
  try {
    postMessage({ result: await answer(data) });
  } catch (error) {
    postMessage({ error: (error as Error).message });
  }
});
