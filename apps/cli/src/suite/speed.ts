import { type ConfigJson, findArchitecture, type LanguageModel, loadLanguageModel } from '@mamba-ts/layers';
import type { OpenedModel } from '@mamba-ts/loaders';
import { createPause } from '@mamba-ts/tensor';
import { createBackend } from 'mamba-ts';
import type { Loaded, Speed, Work } from './engine.ts';

/** With what one token costs. */
export interface CostedModel extends Loaded {
  readonly costs: { readonly decodeBytes: number; readonly flopsPerToken: number; readonly flopsHead: number };
}

/** Any ids do: speed does not depend on them. */
const idAt = (i: number, vocabSize: number): number => (i * 7919 + 13) % vocabSize;

function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
}

/** Reads a prompt and then decodes from a fresh state. Between passes clicks, messages and Ctrl-C are heard. */
export async function measureSpeed(
  model: LanguageModel,
  { promptTokens, genTokens }: Work,
  signal: AbortSignal,
): Promise<Speed> {
  const { maxChunk, vocabSize } = model;
  const pause = createPause();
  const state = model.createState();
  const started = performance.now();
  for (let at = 0; at < promptTokens; at += maxChunk) {
    signal.throwIfAborted();
    const length = Math.min(maxChunk, promptTokens - at);
    const piece = Int32Array.from({ length }, (_, i) => idAt(at + i, vocabSize));
    await model.forward(piece, state, at + length === promptTokens ? 'last' : 'none');
    await pause();
  }
  const prefilled = performance.now();
  const id = new Int32Array(1);
  for (let i = 0; i < genTokens; i++) {
    signal.throwIfAborted();
    id[0] = idAt(i, vocabSize);
    // As the peers do, who choose a token after each.
    likeliest(await model.forward(id, state, 'last'));
    await pause();
  }
  const decoded = performance.now();
  state.dispose();
  return { prefill: (1000 * promptTokens) / (prefilled - started), decode: (1000 * genTokens) / (decoded - prefilled) };
}

/** An opened checkpoint on a backend of its own, ready to be timed; the same in Node and in a page. */
export async function loadForSpeed(opened: OpenedModel, threads: number, signal?: AbortSignal): Promise<CostedModel> {
  const backend = await createBackend('auto', threads);
  const model = await loadLanguageModel(
    await findArchitecture(opened.config),
    opened.config as ConfigJson,
    opened.weights,
    backend,
    { signal },
  );
  return {
    costs: model.summary(),
    measure: (work, until) => measureSpeed(model, work, until),
    async close() {
      model.dispose();
      backend.dispose();
    },
  };
}
