import { saveSafetensors } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import type { LocalModel, ScoreResult, ScoreOptions as TextScoreOptions } from 'mamba-ts';
import { interruptible, UsageError } from '../failure.ts';
import { load, type ModelOptions, printJson, readText } from '../model.ts';
import { ProgressBar } from '../progress.ts';

interface ScoreOptions extends ModelOptions {
  readonly text?: string;
  readonly ids?: string;
  readonly window?: number;
  readonly logits?: string;
  readonly json?: boolean;
}

async function readIds(path: string, signal: AbortSignal): Promise<number[]> {
  const text = await readText(path, signal);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new MambaError('IDS_JSON', `${path} is not JSON: ${(cause as Error).message}`, { path }, { cause });
  }
  if (!Array.isArray(value) || !value.every((id) => Number.isSafeInteger(id))) {
    throw new MambaError('IDS_JSON', `${path} must hold a JSON array of token ids`, { path });
  }
  return value as number[];
}

/** `mamba score`: nats of every token but the first. */
export async function score(options: ScoreOptions): Promise<void> {
  if ((options.text === undefined) === (options.ids === undefined)) {
    throw new UsageError('score needs either --text FILE or --ids FILE.json');
  }
  await interruptible(async (signal) => {
    const text = options.text === undefined ? null : await readText(options.text, signal);
    const given = text === null ? await readIds(options.ids!, signal) : text;
    const exact = options.skipBelow === undefined ? null : await scoreExactly(given, options, signal);
    const model = await load(options, signal);
    const ids = typeof given === 'string' ? model.tokenizer.encode(given) : given;
    if (exact) await warm(model, ids, signal);
    const { result, seconds } = await timed('scoring', (onProgress) => {
      const settings = settingsOf(options, signal, onProgress);
      return options.logits === undefined
        ? model.score(ids, settings)
        : scoreInto(options.logits, model, ids, settings);
    });
    const bytes = new TextEncoder().encode(text ?? (await textOf(model, ids))).length;
    const natsPerToken = result.nats / result.scored;
    const report = {
      model: model.info.name,
      tokens: result.tokens,
      scored: result.scored,
      nats: result.nats,
      nats_per_token: natsPerToken,
      perplexity: Math.exp(natsPerToken),
      bits_per_byte: bytes > 0 ? result.nats / Math.LN2 / bytes : null,
      ...(exact
        ? {
            skip: {
              below: options.skipBelow!,
              skipped: result.skipped!,
              change_nats_per_token: natsPerToken - exact.result.nats / exact.result.scored,
              seconds,
              exact: { nats_per_token: exact.result.nats / exact.result.scored, seconds: exact.seconds },
            },
          }
        : {}),
    };
    if (options.json) printJson(report);
    else {
      process.stdout.write(
        `${natsPerToken.toFixed(5)} nats per token over ${result.scored} tokens ` +
          `(perplexity ${report.perplexity.toFixed(3)}, ${report.bits_per_byte?.toFixed(5) ?? '-'} bits per byte)\n`,
      );
      if (report.skip) process.stdout.write(skipLine(report.skip));
    }
    await model.dispose();
  });
}

/** What skipping updates changed, and what it saved. */
interface SkipReport {
  readonly below: number;
  /** The share of updates that were not computed. */
  readonly skipped: number;
  readonly change_nats_per_token: number;
  readonly seconds: number;
  readonly exact: { readonly nats_per_token: number; readonly seconds: number };
}

const skipLine = ({ below, skipped, change_nats_per_token: change, seconds, exact }: SkipReport): string =>
  `${(100 * skipped).toFixed(1)} % of the updates are below ${below} and were skipped: ` +
  `${change < 0 ? '' : '+'}${change.toFixed(5)} nats per token, ${seconds.toFixed(2)} s in place of ` +
  `${exact.seconds.toFixed(2)} s (${(100 * (seconds / exact.seconds - 1)).toFixed(1)} %)\n`;

type Tell = NonNullable<TextScoreOptions['onProgress']>;

const settingsOf = (options: ScoreOptions, signal: AbortSignal, onProgress: Tell): TextScoreOptions => ({
  ...(options.window === undefined ? {} : { window: options.window }),
  signal,
  onProgress,
});

/** Runs `work` under a progress bar. */
async function timed<T>(label: string, work: (tell: Tell) => Promise<T>): Promise<{ result: T; seconds: number }> {
  const bar = new ProgressBar(label);
  const started = performance.now();
  try {
    const result = await work(({ done, total }) => bar.update(done, total));
    return { result, seconds: (performance.now() - started) / 1000 };
  } finally {
    bar.end();
  }
}

/** The first tokens once, unmeasured: meanwhile the engine compiles the kernels as well as it can. */
async function warm(model: LocalModel, ids: readonly number[], signal: AbortSignal): Promise<void> {
  await model.score(ids.slice(0, 1024), { signal });
}

/** The same without skipping, on a model of its own: to compare with. */
async function scoreExactly(
  given: string | readonly number[],
  { skipBelow: _, ...options }: ScoreOptions,
  signal: AbortSignal,
): Promise<{ result: ScoreResult; seconds: number }> {
  const model = await load(options, signal);
  try {
    const ids = typeof given === 'string' ? model.tokenizer.encode(given) : given;
    await warm(model, ids, signal);
    return await timed('scoring exactly', (tell) => model.score(ids, settingsOf(options, signal, tell)));
  } finally {
    await model.dispose();
  }
}

/** Scores, and writes the logits as they come: of a long text they do not fit in memory. */
async function scoreInto(
  path: string,
  model: LocalModel,
  ids: readonly number[],
  options: TextScoreOptions,
): Promise<ScoreResult> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const shape = [ids.length, model.info.vocabSize];
  const saving = saveSafetensors(path, [{ name: 'logits', dtype: 'f32', shape, data: readable }]);
  const scoring = (async () => {
    const onLogits = (_: number, rows: Float32Array): Promise<void> =>
      writer.write(new Uint8Array(rows.slice().buffer));
    const result = await model.score(ids, { ...options, onLogits });
    await writer.close();
    return result;
  })();
  // Whichever fails ends the other: a disk that is full, before hours are spent on the rest.
  saving.catch((error) => readable.cancel(error).catch(() => {}));
  scoring.catch((error) => writer.abort(error).catch(() => {}));
  const [saved] = await Promise.allSettled([saving, scoring]);
  if (saved.status === 'rejected') throw saved.reason;
  return scoring;
}

/** The text behind ids, where the checkpoint has a tokenizer: bits per byte needs its length. */
async function textOf(model: LocalModel, ids: readonly number[]): Promise<string> {
  return model.info.files.some(({ name }) => name === 'tokenizer.json') ? model.detokenize(ids) : '';
}
