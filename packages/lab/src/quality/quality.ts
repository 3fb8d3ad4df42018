import type { LanguageModel, State } from '@mamba-ts/layers';
import { createPause, MambaError } from '@mamba-ts/tensor';
import { Distribution } from './distribution.ts';

/** A model whose quality is asked for. */
export interface QualityModel {
  readonly name: string;
  readonly model: LanguageModel;
  /** Bytes of its weights in memory. */
  readonly weightBytes: number;
  /** Bytes of its files; null where it has none. */
  readonly fileBytes: number | null;
}

/** One model of a {@link QualityReport}, in the field names of its JSON. */
export interface ModelQuality {
  readonly name: string;
  /** Of its files; null where it has none. */
  readonly file_bytes: number | null;
  /** In memory. */
  readonly weight_bytes: number;
  /** Mean of -ln p(token | tokens before). */
  readonly nats_per_token: number;
  /** Mean over the scored tokens of the Kullback-Leibler divergence from the first model's prediction to this one's. Nats. */
  readonly kl_mean: number;
  /** 99.9 % of the divergences are below it. */
  readonly kl_p999: number;
  /** Share of the tokens for which both models hold the same one the likeliest. */
  readonly top1_equal: number;
}

/** What {@link quality} measures; the JSON of `mamba quality`. */
export interface QualityReport {
  /** Tokens given. */
  readonly tokens: number;
  /** Tokens predicted: all but the first. */
  readonly scored: number;
  /** The first one is what the others are compared with. */
  readonly models: readonly ModelQuality[];
}

/** How to measure the quality of models. */
export interface QualityRun {
  /** Resets the states before inputs 0, N, 2N, …; carried through the whole text unless told otherwise. */
  readonly window?: number;
  /** Ends it between two pieces of text by throwing its reason. */
  readonly signal?: AbortSignal;
  /** Called after each piece with the tokens read. */
  readonly onProgress?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** Logits that each model holds at once: 8 MiB of f32. */
const MAX_LOGITS = 2 ** 21;

/**
 * Reads one text with all models side by side and compares their predictions with those of the first, token by token, so
 * that no logits are kept. The target of input i is `ids[i + 1]`, as in `score`. Throws `INVALID_OPTION`, `TOKEN_ID`,
 * `QUALITY_VOCABULARY` where the vocabularies differ in size, `LOGITS_NOT_FINITE`, what `forward` throws, and the
 * signal's reason.
 */
export async function quality(
  models: readonly QualityModel[],
  ids: ArrayLike<number>,
  options: QualityRun = {},
): Promise<QualityReport> {
  const { signal, onProgress } = options;
  const first = models[0];
  if (!first) throw new MambaError('INVALID_OPTION', 'quality needs at least one model');
  const scored = ids.length - 1;
  if (scored < 1) throw new MambaError('INVALID_OPTION', `quality needs at least two tokens, found ${ids.length}`);
  const { window = scored } = options;
  if (!Number.isSafeInteger(window) || window < 1)
    throw new MambaError('INVALID_OPTION', `window must be a whole number of at least 1, found ${window}`);
  const { vocabSize } = first.model;
  for (const { name, model } of models) {
    if (model.vocabSize !== vocabSize) {
      throw new MambaError(
        'QUALITY_VOCABULARY',
        `${name} has ${model.vocabSize} tokens and ${first.name} has ${vocabSize}: only predictions over the same ` +
          'vocabulary can be compared',
        { name, found: model.vocabSize, expected: vocabSize },
      );
    }
  }

  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw new MambaError('TOKEN_ID', `ids[${i}] is ${id}, but the vocabulary has ${vocabSize} tokens`, {
        id,
        vocabSize,
      });
  }

  const chunk = Math.max(1, Math.min(Math.floor(MAX_LOGITS / vocabSize), ...models.map(({ model }) => model.maxChunk)));
  const tallies = models.map(() => ({ nats: 0, divergences: new Float64Array(scored), equal: 0 }));
  const [expected, found] = [new Distribution(vocabSize), new Distribution(vocabSize)];
  const pause = createPause();
  let states: State[] = [];
  const forget = (): void => {
    for (const state of states) state.dispose();
    states = [];
  };
  try {
    for (let start = 0, end = 0; start < scored; start = end) {
      if (start % window === 0) {
        forget();
        for (const { model } of models) states.push(model.createState());
      }
      end = Math.min(scored, start + chunk, start - (start % window) + window);
      const piece = Int32Array.from({ length: end - start }, (_, i) => ids[start + i]!);
      const logits: Float32Array[] = [];
      for (const [at, { model }] of models.entries()) {
        signal?.throwIfAborted();
        logits.push(await model.forward(piece, states[at]!, 'all'));
        await pause();
      }
      for (let i = start; i < end; i++) {
        const row = (at: number): Float32Array =>
          logits[at]!.subarray((i - start) * vocabSize, (i - start + 1) * vocabSize);
        const target = ids[i + 1]!;
        expected.set(row(0), i);
        tallies[0]!.nats -= expected.logs[target]!;
        tallies[0]!.equal++;
        for (let at = 1; at < models.length; at++) {
          const tally = tallies[at]!;
          found.set(row(at), i);
          tally.nats -= found.logs[target]!;
          tally.divergences[i] = expected.divergenceTo(found);
          if (found.top === expected.top) tally.equal++;
        }
        await pause();
      }
      onProgress?.({ done: end, total: scored });
    }
  } finally {
    forget();
  }
  return {
    tokens: ids.length,
    scored,
    models: models.map(({ name, fileBytes, weightBytes }, at) => {
      const { nats, divergences, equal } = tallies[at]!;
      return {
        name,
        file_bytes: fileBytes,
        weight_bytes: weightBytes,
        nats_per_token: nats / scored,
        kl_mean: divergences.reduce((sum, value) => sum + value, 0) / scored,
        kl_p999: quantile(divergences, 0.999),
        top1_equal: equal / scored,
      };
    }),
  };
}

/** The value below which a share of the values lies, between neighbours on a straight line. */
function quantile(values: Float64Array, share: number): number {
  const sorted = values.toSorted();
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)]!;
  const high = sorted[Math.ceil(at)]!;
  return low === high ? low : low + (high - low) * (at - Math.floor(at));
}
