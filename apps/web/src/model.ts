import { signal } from '@preact/signals';
import {
  fromPretrained,
  isHubId,
  MambaError,
  type MambaModel,
  type ModelSource,
  type Progress,
  storedId,
} from 'mamba-ts';
import { keptModels, lastOpened, refreshKept, rememberOpened } from './kept-models.ts';
import { explain, type Problem } from './problem.ts';
import { Rate } from './rate.ts';

export type ModelState =
  | {
      readonly kind: 'loading';
      readonly name: string;
      readonly progress: Progress | null;
      /** Bytes per second of a download, once it is known. */
      readonly rate: number | null;
    }
  | { readonly kind: 'ready'; readonly name: string; readonly model: MambaModel }
  /** The visitor ended it; what has come of a model to be kept is kept. */
  | { readonly kind: 'stopped'; readonly name: string }
  | { readonly kind: 'failed'; readonly name: string; readonly problem: Problem };

/** The one model of the page. */
export const modelState = signal<ModelState>({ kind: 'loading', name: 'Shakespeare', progress: null, rate: null });

let current = new AbortController();
/** What the visitor asked for last, to try it again. */
let asked: { readonly source: ModelSource; readonly name: string } | null = null;

/** Loads the model that comes with the page. */
export function openEmbedded(): Promise<void> {
  return open(new URL('models/shakespeare-mamba/', document.baseURI), 'Shakespeare');
}

/** Loads what ran when the page was left, where it is kept; else the model that comes with the page. */
export async function openFirst(): Promise<void> {
  const id = lastOpened();
  const looked = refreshKept();
  if (id === null) return openEmbedded();
  await looked;
  // Where the browser has dropped it meanwhile, nobody has asked for another download.
  const there = keptModels.value?.some((model) => model.complete && model.id === id);
  return there ? openKept(id) : openEmbedded();
}

/** Loads a hub id or an address, which the browser is to keep. */
export function openKept(id: string): Promise<void> {
  if (!isHubId(id) && !URL.canParse(id)) {
    return fail(id, new MambaError('MODEL_ADDRESS', `${JSON.stringify(id)} is neither a hub id nor an address`));
  }
  // Of an address the last part that says something.
  const name = URL.canParse(id) ? new URL(id).pathname.split('/').findLast((part) => part !== '') : id;
  return open({ keep: id }, name ?? id);
}

/** Tells that nothing could be opened, without an attempt. */
async function fail(name: string, error: unknown): Promise<void> {
  const before = modelState.peek();
  current.abort();
  modelState.value = { kind: 'failed', name, problem: explain(error) };
  if (before.kind === 'ready') await before.model.dispose();
}

/** Loads a model instead of the one before, whose memory is given back first. A later call overtakes. */
export async function open(source: ModelSource, name: string): Promise<void> {
  current.abort();
  const controller = new AbortController();
  current = controller;
  asked = { source, name };
  const before = modelState.peek();
  modelState.value = { kind: 'loading', name, progress: null, rate: null };
  // Until it runs: a model that brings the tab down must not do so again at the next start.
  rememberOpened(null);
  const rate = new Rate();
  let progress: Progress | null = null;
  const show = (): void => {
    if (current !== controller || !progress) return;
    const perSecond = progress.phase === 'download' ? rate.add(progress.done, performance.now()) : null;
    modelState.value = { kind: 'loading', name, progress, rate: perSecond };
  };
  // Where nothing comes nothing is told; the rate sinks all the same.
  const ticking = setInterval(show, 500);
  try {
    if (before.kind === 'ready') await before.model.dispose();
    const model = await fromPretrained(source, {
      signal: controller.signal,
      onProgress: (told) => {
        progress = told;
        show();
      },
    });
    if (current === controller) {
      modelState.value = { kind: 'ready', name: isKept(source) ? model.info.name : name, model };
      if (isKept(source)) rememberOpened(storedId(source.keep));
    } else await model.dispose();
  } catch (error) {
    if (current === controller) modelState.value = { kind: 'failed', name, problem: explain(error) };
  } finally {
    clearInterval(ticking);
  }
  if (isKept(source)) await refreshKept();
}

/** Ends the loading. */
export function cancel(): void {
  const state = modelState.peek();
  if (state.kind !== 'loading') return;
  current.abort();
  current = new AbortController();
  modelState.value = { kind: 'stopped', name: state.name };
}

/** Opens what was asked for last again: a download goes on where it ended. */
export function tryAgain(): void {
  if (asked) void open(asked.source, asked.name);
}

const isKept = (source: ModelSource): source is { readonly keep: string } =>
  typeof source === 'object' && 'keep' in source;
