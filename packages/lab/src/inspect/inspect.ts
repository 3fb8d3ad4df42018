import type { LoadedLanguageModel, Observed } from '@mamba-ts/layers';
import { createPause, MambaError } from '@mamba-ts/tensor';
import { groupAttention } from './attention.ts';
import { measure } from './measures.ts';
import { observedLayers, type Recurrence, recurrenceOf, timeInvariant } from './recurrence.ts';
import type { InspectedAttention, InspectedLayer, InspectReport } from './report.ts';
import { selectivity } from './words.ts';

/** A text that a person can take in at a glance; the hidden attention has this many rows and columns. */
export const INSPECT_TOKENS = 512;

/** Bytes of observed values that one pass over the text may copy: bounds the memory for large models. */
const COPY_BYTES = 256 * 2 ** 20;

/** What to show of a text. */
export interface InspectOptions {
  /** The layer whose hidden attention is shown; unless told otherwise the one that chooses most (`selectivity`). */
  readonly layer?: number;
  /** First and last channel of the group that it is the mean of; all unless told otherwise. */
  readonly channels?: readonly [from: number, to: number];
  /** Ends it within a pass by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Share of the work, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/**
 * What a text does to the state of each layer with a selective scan, token by token, and the same without selection.
 * `name` and `texts` (each token's part of the text) are for the report. Throws `INSPECT_TEXT` for a text that is empty
 * or has more than 512 tokens, `INSPECT_MODEL` where no layer has a selective state, `INSPECT_RANGE` for a layer or
 * channel that there is not, `INSPECT_NUMBERS` where a layer computes infinities or NaNs, and the signal's reason.
 */
export async function inspect(
  model: LoadedLanguageModel,
  ids: readonly number[],
  { name, texts }: { readonly name: string; readonly texts: readonly string[] },
  options: InspectOptions = {},
): Promise<InspectReport> {
  if (ids.length === 0 || ids.length > INSPECT_TOKENS) {
    throw new MambaError(
      'INSPECT_TEXT',
      `the text has ${ids.length} tokens; 1 to ${INSPECT_TOKENS} can be looked into: ` +
        (ids.length === 0 ? 'give some text' : 'take a part of it'),
      { tokens: ids.length, limit: INSPECT_TOKENS },
    );
  }
  const wait = createPause();
  const pause = async (): Promise<void> => {
    await wait();
    options.signal?.throwIfAborted();
  };
  const numbers = await selectiveLayers(model);
  if (options.layer !== undefined && !numbers.includes(options.layer)) {
    throw rangeError(`layer ${options.layer}`, `layers with a selective state: ${numbers.join(', ')}`);
  }

  const layers: InspectedLayer[] = [];
  for await (const [layer, recurrence] of recurrences(model, Int32Array.from(ids), numbers)) {
    layers.push({
      layer,
      ...(await measure(recurrence, pause)),
      time_invariant: await measure(timeInvariant(recurrence), pause),
    });
    // The hidden attention counts as much as a layer.
    options.onProgress?.(layers.length / (numbers.length + 1));
  }
  const shown = options.layer ?? layers.reduce((a, b) => (selectivity(b) > selectivity(a) ? b : a)).layer;
  const attention = await attentionOf(model, Int32Array.from(ids), shown, options.channels, pause);
  options.onProgress?.(1);
  const { modelType } = model.summary();
  return {
    model: name,
    architecture: modelType,
    tokens: ids.map((id, i) => ({ id, text: texts[i] ?? '' })),
    layers,
    attention,
  };
}

const rangeError = (what: string, there: string): MambaError =>
  new MambaError('INSPECT_RANGE', `there is no ${what}; there are ${there}`);

async function observe(
  model: LoadedLanguageModel,
  ids: Int32Array,
  wanted: (name: string) => boolean,
): Promise<Map<string, Observed>> {
  const state = model.createState();
  try {
    return await model.observe(ids, state, wanted);
  } finally {
    state.dispose();
  }
}

/** The layers whose recurrence can be shown, found by the rates A that they show. */
async function selectiveLayers(model: LoadedLanguageModel): Promise<number[]> {
  const numbers = observedLayers(await observe(model, Int32Array.of(0), (name) => name.endsWith('.A')));
  if (numbers.length > 0) return numbers;
  const { modelType } = model.summary();
  throw new MambaError(
    'INSPECT_MODEL',
    `no layer of this ${modelType} model has a selective state with fixed rates A`,
    {
      modelType,
    },
  );
}

/** Each layer's recurrence over the text, as many layers to a pass as fit into memory. */
async function* recurrences(
  model: LoadedLanguageModel,
  ids: Int32Array,
  layers: readonly number[],
): AsyncGenerator<[number, Recurrence]> {
  let perPass = 1;
  for (let at = 0; at < layers.length; ) {
    const part = layers.slice(at, at + perPass);
    at += part.length;
    const prefixes = part.map((layer) => `layers.${layer}.`);
    const observed = await observe(model, ids, (name) => prefixes.some((prefix) => name.startsWith(prefix)));
    const bytes = [...observed.values()].reduce((sum, { values }) => sum + values.byteLength, 0) / part.length;
    perPass = Math.max(1, Math.floor(COPY_BYTES / bytes));
    for (const layer of part) yield [layer, recurrenceOf(observed, layer)];
  }
}

async function attentionOf(
  model: LoadedLanguageModel,
  ids: Int32Array,
  layer: number,
  group: InspectOptions['channels'],
  pause: () => Promise<void>,
): Promise<InspectedAttention> {
  const prefix = `layers.${layer}.`;
  const recurrence = recurrenceOf(await observe(model, ids, (name) => name.startsWith(prefix)), layer);
  const last = recurrence.heads * recurrence.width - 1;
  const [from, to] = group ?? [0, last];
  if (!(from >= 0 && from <= to && to <= last))
    throw rangeError(`channel group ${from}-${to}`, `channels 0 to ${last}`);
  const { mean, difference, range } = await groupAttention(recurrence, [from, to], pause);
  const without = await groupAttention(timeInvariant(recurrence), [from, to], pause);
  // Six digits: the matrix is most of the report.
  const rows = (values: Float64Array): number[][] =>
    Array.from({ length: recurrence.tokens }, (_, t) =>
      Array.from(values.subarray(t * recurrence.tokens, (t + 1) * recurrence.tokens), (v) => Number(v.toPrecision(6))),
    );
  return {
    layer,
    channels: [from, to],
    matrix: rows(mean),
    max_error: difference,
    y_range: range,
    time_invariant: { matrix: rows(without.mean) },
  };
}
