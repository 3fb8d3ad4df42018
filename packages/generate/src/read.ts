import type { LanguageModel, State } from '@mamba-ts/layers';
import { createPause } from '@mamba-ts/tensor';
import type { PrefillProgress } from './loop.ts';
import type { PrefixCache } from './prefix-cache.ts';

/** A state is kept this often within a long text, so that an edit near its end does not read it from the start. */
const CHECKPOINT_EVERY = 2048;

/** Options of {@link read}. */
export interface ReadOptions {
  /** Where states are kept on the way and at the end. */
  readonly cache?: PrefixCache | undefined;
  /** Tokens between two states that are kept on the way. Default 2048. */
  readonly checkpointEvery?: number;
  /** Ends it within one piece with `signal.reason`; the state then holds what was read. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each piece; counts what is to be read now. */
  readonly onProgress?: ((progress: PrefillProgress) => void) | undefined;
}

/**
 * The state from which `ids` need the least reading: `own`, which holds the beginning of `ids`, or a copy from the
 * cache, or a fresh one. The result replaces `own`: where it is another, `own` is disposed.
 */
export function resume(
  model: LanguageModel,
  ids: Int32Array,
  own: State | null,
  cache: PrefixCache | undefined,
): State {
  const kept = cache?.take(ids, own?.position ?? 0);
  if (!kept) return own ?? model.createState();
  own?.dispose();
  return kept;
}

/**
 * Feeds those of `ids` that `state` does not hold yet, in place, and returns how many that were. Pieces end at
 * multiples of `maxChunk` and of `checkpointEvery` counted from the start of the text, and at the end: whichever kept
 * state a reading resumes from, the pieces after it are the same, and so are the bits.
 */
export async function read(
  model: LanguageModel,
  ids: Int32Array,
  state: State,
  { cache, checkpointEvery = CHECKPOINT_EVERY, signal, onProgress }: ReadOptions = {},
): Promise<number> {
  const pause = createPause();
  const from = state.position;
  const next = (step: number): number => (Math.floor(state.position / step) + 1) * step;
  while (state.position < ids.length) {
    signal?.throwIfAborted();
    const end = Math.min(ids.length, next(model.maxChunk), next(checkpointEvery));
    await model.forward(ids.subarray(state.position, end), state, 'none');
    if (end % checkpointEvery === 0 || end === ids.length) cache?.put(ids.subarray(0, end), state);
    onProgress?.({ done: end - from, total: ids.length - from });
    await pause();
  }
  return ids.length - from;
}
