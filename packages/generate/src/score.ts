import type { LanguageModel, State } from '@mamba-ts/layers';
import { createPause, MambaError } from '@mamba-ts/tensor';
import { expNonPositive } from './exp.ts';
import type { PrefillProgress } from './loop.ts';
import { checkFunction, checkIds, checkKeys, checkSignal, integerOption } from './options.ts';

/** Logits that are held at once: 32 MiB of f32. */
const MAX_LOGITS = 2 ** 23;

/** Options of {@link score}. */
export interface ScoreOptions {
  /** Resets the state before inputs 0, N, 2N, …; without it the state is carried through the whole text. >= 1. */
  readonly window?: number;
  /**
   * Takes the logits of inputs `start`, `start + 1`, …: `rows` `[n, vocabSize]`, in order and for every token, the last
   * one included. Valid during the call; awaited.
   */
  readonly onLogits?: (start: number, rows: Float32Array) => void | Promise<void>;
  /** Told for each scored token, in order: its position in the text (1 for the second) and its nats. */
  readonly onToken?: (position: number, nats: number) => void;
  /** Ends scoring between two pieces by throwing `signal.reason`. */
  readonly signal?: AbortSignal;
  /** Called after each piece. */
  readonly onProgress?: (progress: PrefillProgress) => void;
}

/** How well a model predicts a text. */
export interface Score {
  /** Tokens given. */
  readonly tokens: number;
  /** Tokens predicted: all but the first. */
  readonly scored: number;
  /** Minus the sum of the natural logarithms of the probabilities of the scored tokens. */
  readonly nats: number;
  /** `nats / scored`; NaN where nothing is scored. */
  readonly natsPerToken: number;
  /** `exp(natsPerToken)`. */
  readonly perplexity: number;
}

/**
 * Predicts every token but the first from those before it. The target of input i is `ids[i + 1]`: also with `window`
 * every token but the very first is scored, the first of a window from the last input of the window before.
 * Log-softmax and sums are in f64. Throws `TOKEN_ID`, `EMPTY_PROMPT`, `LOGITS_NOT_FINITE`, `INVALID_OPTION`,
 * `UNKNOWN_OPTION`, and the signal's reason.
 */
export async function score(model: LanguageModel, ids: ArrayLike<number>, options: ScoreOptions = {}): Promise<Score> {
  checkKeys(options, ['window', 'onLogits', 'onToken', 'signal', 'onProgress'], 'score');
  for (const name of ['onLogits', 'onToken', 'onProgress'] as const) checkFunction(name, options[name]);
  checkSignal(options.signal);
  const { vocabSize } = model;
  const { onLogits, onToken, onProgress, signal } = options;
  const checked = checkIds(ids, vocabSize, 'ids');
  const tokens = checked.length;
  if (tokens === 0) throw new MambaError('EMPTY_PROMPT', 'there are no tokens to score; give at least one');
  const scored = tokens - 1;
  const window = integerOption('window', options.window, tokens, 1);
  const inputs = onLogits ? tokens : scored;
  const chunk = Math.max(1, Math.min(model.maxChunk, Math.floor(MAX_LOGITS / vocabSize)));

  const pause = createPause();
  let nats = 0;
  let state: State | null = null;
  try {
    for (let start = 0, end = 0; start < inputs; start = end) {
      signal?.throwIfAborted();
      if (start % window === 0) {
        state?.dispose();
        state = null;
        state = model.createState();
      }
      end = Math.min(inputs, start + chunk, start - (start % window) + window);
      const rows = await model.forward(checked.subarray(start, end), state!, 'all');
      for (let i = start; i < Math.min(end, scored); i++) {
        const row = rows.subarray((i - start) * vocabSize, (i - start + 1) * vocabSize);
        const ofToken = negativeLogLikelihood(row, checked[i + 1]!, i);
        nats += ofToken;
        onToken?.(i + 1, ofToken);
      }
      await onLogits?.(start, rows);
      onProgress?.({ done: end, total: inputs });
      await pause();
    }
  } finally {
    state?.dispose();
  }
  const natsPerToken = nats / scored;
  return { tokens, scored, nats, natsPerToken, perplexity: Math.exp(natsPerToken) };
}

/** `log(sum(exp(logits))) - logits[target]`, shifted by the maximum so that nothing overflows. */
function negativeLogLikelihood(logits: Float32Array, target: number, position: number): number {
  let max = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    if (logits[i]! > max) max = logits[i]!;
  }
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += expNonPositive(logits[i]! - max);
  const nats = max + Math.log(sum) - logits[target]!;
  // A NaN, a +Infinity or nothing but -Infinity among the logits all end here; an excluded target is +Infinity.
  if (Number.isNaN(nats)) {
    throw new MambaError(
      'LOGITS_NOT_FINITE',
      `the logits after token ${position} hold NaN or infinities; check the checkpoint, or compare with another backend`,
      { position },
    );
  }
  return nats;
}
