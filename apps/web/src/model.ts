import { signal } from '@preact/signals';
import { fromPretrained, isMambaError, type MambaModel, type ModelSource, type Progress } from 'mamba-ts';

/** What the page has to say of an error. */
export interface Problem {
  readonly title: string;
  readonly message: string;
  readonly remedy: string;
}

export type ModelState =
  | { readonly kind: 'loading'; readonly name: string; readonly progress: Progress | null }
  | { readonly kind: 'ready'; readonly name: string; readonly model: MambaModel }
  | { readonly kind: 'failed'; readonly name: string; readonly problem: Problem };

/** The one model of the page. */
export const modelState = signal<ModelState>({ kind: 'loading', name: 'Shakespeare', progress: null });

let current = new AbortController();

/** Loads the model that comes with the page. */
export function openEmbedded(): Promise<void> {
  return open(new URL('models/shakespeare-mamba/', document.baseURI), 'Shakespeare');
}

/** Loads a model instead of the one before, whose memory is given back first. A later call overtakes. */
export async function open(source: ModelSource, name: string): Promise<void> {
  current.abort();
  const controller = new AbortController();
  current = controller;
  const before = modelState.peek();
  modelState.value = { kind: 'loading', name, progress: null };
  try {
    if (before.kind === 'ready') await before.model.dispose();
    const model = await fromPretrained(source, {
      signal: controller.signal,
      onProgress: (progress) => {
        if (current === controller) modelState.value = { kind: 'loading', name, progress };
      },
    });
    if (current === controller) modelState.value = { kind: 'ready', name, model };
    else await model.dispose();
  } catch (error) {
    if (current === controller) modelState.value = { kind: 'failed', name, problem: explain(error) };
  }
}

/** What to do about an error, by its code; the message itself says what was expected and found. */
const REMEDIES: Readonly<Record<string, string>> = {
  FILE_MISSING: 'Choose the folder itself, with config.json, model.safetensors and tokenizer.json in it.',
  MODEL_TYPE: 'Choose a checkpoint of one of the architectures named above.',
  MISSING_TENSOR: 'config.json and the weights do not belong together: download the checkpoint again as a whole.',
  TENSOR_SHAPE: 'config.json and the weights do not belong together: download the checkpoint again as a whole.',
  INSPECT_TEXT: 'Change the text, then try again.',
  INSPECT_NUMBERS: 'Download the checkpoint again as a whole.',
  INSPECT_MODEL: 'Choose a Mamba or Mamba-2 checkpoint.',
  NO_TOKENIZER: 'Add the tokenizer.json of this model to its folder.',
  OUT_OF_MEMORY: 'Choose a smaller model, or close other tabs; a page can use 4 GiB at most.',
  WASM_UNSUPPORTED: 'Use a current version of Chrome, Edge, Firefox or Safari.',
  WORKER_DIED: 'Load the model again; if it happens again, the device may be out of memory.',
  URL_FETCH: 'Check the connection, then try again.',
};

export function explain(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error);
  const code = isMambaError(error) ? error.code : '';
  return {
    title: 'That did not work',
    message,
    remedy: REMEDIES[code] ?? 'Try again; the page goes on with the model that comes with it.',
  };
}
