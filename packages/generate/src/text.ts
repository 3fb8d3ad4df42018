import type { LanguageModel } from '@mamba-ts/layers';
import { GENERATE_OPTIONS, type GenerateOptions, type GenerationResult, generate } from './loop.ts';
import { checkKeys } from './options.ts';
import { checkStops, StopFilter } from './stop.ts';

/** Turns ids into text piece by piece, never giving out half a character. A tokenizer makes one per text. */
export interface StreamingDecoder {
  /** The text that is certain after this id; may be empty. */
  push(id: number): string;
  /** The rest, after the last id. */
  flush(): string;
}

/** Options of {@link generateText}. */
export interface TextOptions extends GenerateOptions {
  /** Ends the text before the first of these strings; see {@link StopFilter} for which is the first. */
  readonly stop?: string | readonly string[];
}

/** What a text ended with; the return value of the iterator. */
export interface TextResult extends GenerationResult {
  /** The whole text: all pieces joined. It ends before the stop string. */
  readonly text: string;
  /** The stop string that was found, else null. */
  readonly stop: string | null;
}

/**
 * Like {@link generate}, but yields text, cut at stop strings also where they span tokens. Pieces are never empty.
 * `ids` of the result are all generated ids, up to and including the one that completed the stop string.
 * An id that ends the text (`eos`) is not decoded. Errors as {@link generate}, and those of the decoder.
 */
export function generateText(
  model: LanguageModel,
  promptIds: ArrayLike<number>,
  decoder: StreamingDecoder,
  options: TextOptions = {},
): AsyncGenerator<string, TextResult, void> {
  checkKeys(options, [...GENERATE_OPTIONS, 'stop'], 'generateText');
  const { stop, ...rest } = options;
  const filter = new StopFilter(checkStops(stop));
  let piece = '';
  const tokens = generate(model, promptIds, {
    ...rest,
    stopWhen: (token) => {
      piece = filter.push(decoder.push(token.id));
      const own = rest.stopWhen?.(token) ?? false;
      return own || filter.stop !== null;
    },
  });

  async function* run(): AsyncGenerator<string, TextResult, void> {
    let text = '';
    try {
      for (;;) {
        const step = await tokens.next();
        if (!step.done) {
          text += piece;
          if (piece !== '') yield piece;
          continue;
        }
        // What the decoder kept (an unfinished character) may still complete a stop string.
        const tail = filter.push(decoder.flush()) + filter.flush();
        text += tail;
        if (tail !== '') yield tail;
        const stopReason = filter.stop === null ? step.value.stopReason : 'stop';
        return { ...step.value, stopReason, text, stop: filter.stop };
      }
    } finally {
      // When the consumer leaves early the state must be given back too.
      await tokens.return(undefined as never);
    }
  }
  return run();
}
