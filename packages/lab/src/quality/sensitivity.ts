import type { LanguageModel } from '@mamba-ts/layers';
import { type QualityRun, quality } from './quality.ts';

/** What the quantisation of one tensor alone does, in the field names of the JSON. */
export interface TensorSensitivity {
  readonly tensor: string;
  readonly parameters: number;
  /** Bytes that it has less. */
  readonly bytes_saved: number;
  /** Mean divergence from the predictions of the model as it is. Nats per token. */
  readonly kl_mean: number;
  /** What it changes in nats per token of the text; noise may make it negative. */
  readonly nats_change: number;
}

/** The JSON of `mamba quality --sensitivity`, the most sensitive tensor first. */
export interface SensitivityReport {
  readonly dtype: string;
  /** Tokens predicted. */
  readonly scored: number;
  readonly nats_per_token: number;
  readonly tensors: readonly TensorSensitivity[];
}

/** A tensor that may be quantised, and the model in which it alone is. */
export interface SensitivityCase extends Pick<TensorSensitivity, 'tensor' | 'parameters' | 'bytes_saved'> {
  /** Loads it; the caller of `rankSensitivity` gives, it disposes of. */
  load(): Promise<LanguageModel>;
}

/**
 * Compares a model with each of its versions of which one tensor is quantised, and ranks the tensors by the divergence that
 * this causes. Two models are loaded at a time. Throws what `quality` throws.
 */
export async function rankSensitivity(
  model: LanguageModel,
  cases: readonly SensitivityCase[],
  ids: ArrayLike<number>,
  dtype: string,
  options: QualityRun = {},
): Promise<SensitivityReport> {
  const { onProgress, ...run } = options;
  const tensors: TensorSensitivity[] = [];
  let scored = ids.length - 1;
  let natsPerToken = Number.NaN;
  const named = (name: string, version: LanguageModel) => ({ name, model: version, weightBytes: 0, fileBytes: null });
  for (const [at, { load, ...tensor }] of cases.entries()) {
    const version = await load();
    try {
      const report = await quality([named('as it is', model), named(tensor.tensor, version)], ids, {
        ...run,
        onProgress: ({ done, total }) => onProgress?.({ done: at * total + done, total: cases.length * total }),
      });
      const [first, second] = report.models;
      scored = report.scored;
      natsPerToken = first!.nats_per_token;
      const change = second!.nats_per_token - first!.nats_per_token;
      tensors.push({ ...tensor, kl_mean: second!.kl_mean, nats_change: change });
    } finally {
      version.dispose();
    }
  }
  tensors.sort((a, b) => b.kl_mean - a.kl_mean);
  return { dtype, scored, nats_per_token: natsPerToken, tensors };
}
