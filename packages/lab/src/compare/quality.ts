import { score } from '@mamba-ts/generate';
import type { LanguageModel } from '@mamba-ts/layers';
import type { QualityBucket } from './report.ts';

/** How much of a text to score. */
export interface QualityOptions {
  /** Tokens of one text, from a fresh state; also where the last bucket ends. */
  readonly window: number;
  /** Tokens to score at most: whole windows from the start of the text. */
  readonly maxTokens: number;
  /** Ends it within a chunk by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Share of the tokens, 0 to 1. */
  readonly onProgress?: (share: number) => void;
}

/** Bucket borders: 0, 16, 64, 256, …, and the window's end. */
export function bucketBorders(window: number): number[] {
  const borders = [0];
  for (let border = 16; border < window; border *= 4) borders.push(border);
  borders.push(window);
  return borders;
}

/**
 * Nats per token by position: the text is cut into windows, each read from a fresh state, and every token but a window's
 * first is scored. A model that uses long context gets better with the position. Throws what `score` throws.
 */
export async function qualityByPosition(
  model: LanguageModel,
  ids: readonly number[],
  options: QualityOptions,
): Promise<QualityBucket[]> {
  const { window, signal, onProgress } = options;
  const borders = bucketBorders(window);
  const sums = borders.slice(1).map((to, i) => ({ from: borders[i]!, to, tokens: 0, nats: 0 }));
  const total = Math.min(ids.length, Math.max(window, options.maxTokens));
  for (let start = 0; start < total; start += window) {
    const text = ids.slice(start, Math.min(start + window, ids.length));
    if (text.length < 2) break;
    let before = 0;
    await score(model, text, {
      ...(signal ? { signal } : {}),
      onToken: (position, nats) => {
        const bucket = sums.find(({ to }) => position < to)!;
        bucket.tokens++;
        bucket.nats += nats;
        before++;
      },
    });
    onProgress?.(Math.min(1, (start + before) / total));
  }
  return sums
    .filter(({ tokens }) => tokens > 0)
    .map(({ from, to, tokens, nats }) => ({ from, to, tokens, nats_per_token: nats / tokens }));
}
