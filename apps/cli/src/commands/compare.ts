import {
  bytesText,
  type ComparedModel,
  type CompareReport,
  type Contestant,
  compare,
  compareCsv,
  compareHtml,
  compareSvg,
  contestantOf,
  countText,
  describeComparison,
  qualityByPosition,
  timeText,
} from '@mamba-ts/lab';
import type { LoadedLanguageModel } from '@mamba-ts/layers';
import { saveFile } from '@mamba-ts/loaders/node';
import type { DType } from '@mamba-ts/tensor';
import type { BackendName } from 'mamba-ts';
import { interruptible, UsageError } from '../failure.ts';
import { type Checkpoint, load, loadBare, printJson, readText, twins } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

interface CompareOptions {
  readonly models?: readonly string[];
  readonly random?: readonly string[];
  readonly dtype: DType;
  readonly lengths: readonly number[];
  readonly repeat: number;
  readonly budget: number;
  readonly text?: string;
  readonly svg?: string;
  readonly html?: string;
  readonly csv?: string;
  readonly backend: BackendName;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Tokens of the text whose quality is measured at most: some minutes for a small model. */
const QUALITY_TOKENS = 32_768;

/** `mamba compare`: several models, measured in turn on texts of growing length; where none are named, the embedded twins. */
export async function compareModels(options: CompareOptions): Promise<void> {
  const { random = [] } = options;
  if (options.text !== undefined && options.models === undefined && random.length > 0)
    throw new UsageError('--text needs --models: random weights predict nothing');
  await interruptible(async (signal) => {
    const named = options.models?.map((path) => ({ name: path, path })) ?? [];
    const checkpoints = options.models === undefined && random.length === 0 ? await twins() : named;
    const text = options.text === undefined ? null : await readText(options.text, signal);
    const bar = new ProgressBar('comparing');
    const loaded: LoadedLanguageModel[] = [];
    try {
      const contestants: Contestant[] = [];
      for (const name of random) {
        const model = await loadBare(
          { random: name, dtype: options.dtype, backend: options.backend, threads: options.threads },
          signal,
        );
        loaded.push(model);
        contestants.push(contestantOf(name, model));
      }
      for (const { name, path } of checkpoints) {
        const model = await loadBare(
          { model: path, dtype: options.dtype, backend: options.backend, threads: options.threads },
          signal,
        );
        loaded.push(model);
        contestants.push(contestantOf(name, model));
      }
      let report = await compare(contestants, {
        lengths: options.lengths,
        repeats: options.repeat,
        budgetSeconds: options.budget,
        signal,
        onProgress: ({ share }) => bar.update(share, 1),
        onLeftOut: (model, length, because) =>
          note(
            because === 'budget'
              ? `${model} at ${countText(length)} tokens does not fit into the budget`
              : `${model} was not made for ${countText(length)} tokens: extrapolated`,
          ),
      });
      bar.end();
      if (text !== null) report = await withQuality(report, checkpoints, options, text, signal);
      if (options.svg !== undefined) await saveFile(options.svg, [new TextEncoder().encode(compareSvg(report))]);
      if (options.html !== undefined) await saveFile(options.html, [new TextEncoder().encode(compareHtml(report))]);
      if (options.csv !== undefined) await saveFile(options.csv, [new TextEncoder().encode(compareCsv(report))]);
      if (options.json) printJson(report);
      else print(`${tableOf(report)}\n${describeComparison(report)}\n`);
    } finally {
      bar.end();
      for (const model of loaded) model.backend.dispose();
    }
  });
}

/** The same report with nats per token by position for the models that were given as checkpoints. */
async function withQuality(
  report: CompareReport,
  checkpoints: readonly Checkpoint[],
  options: CompareOptions,
  text: string,
  signal: AbortSignal,
): Promise<CompareReport> {
  const models: ComparedModel[] = [];
  for (const compared of report.models) {
    const checkpoint = checkpoints.find(({ name }) => name === compared.name);
    if (!checkpoint) {
      models.push(compared);
      continue;
    }
    const model = await load({ model: checkpoint.path, backend: options.backend, threads: options.threads }, signal);
    const bar = new ProgressBar(`scoring ${compared.name}`);
    try {
      const quality = await qualityByPosition(model.languageModel, model.tokenizer.encode(text), {
        window: options.lengths.at(-1)!,
        maxTokens: QUALITY_TOKENS,
        signal,
        onProgress: (share) => bar.update(share, 1),
      });
      models.push({ ...compared, quality });
    } finally {
      bar.end();
      await model.dispose();
    }
  }
  return { models };
}

function tableOf(report: CompareReport): string {
  const width = Math.max(5, ...report.models.map(({ name }) => name.length));
  const row = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(13))).join('');
  const lines = [row(['model', 'tokens', 'reading', 'per token', 'state', 'GFLOP'])];
  for (const { name, points } of report.models) {
    for (const p of points) {
      const about = p.measured ? '' : '~';
      lines.push(
        row([
          name,
          countText(p.length),
          about + timeText(p.prefill_ms),
          about + timeText(p.decode_ms),
          bytesText(p.state_bytes),
          (p.flops / 1e9).toFixed(1),
        ]),
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
