import { bytesText, countText, rankSensitivity, type SensitivityReport } from '@mamba-ts/lab';
import { type ConfigJson, findArchitecture, listParameters, loadLanguageModel } from '@mamba-ts/layers';
import { recodedSource } from '@mamba-ts/loaders';
import { bytesOf, DTYPES, type DType } from '@mamba-ts/tensor';
import { type BackendName, createBackend } from 'mamba-ts';
import { interruptible, UsageError } from '../failure.ts';
import { loadOpened, openSource, printJson, readText } from '../model.ts';
import { ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

interface SensitivityOptions {
  readonly text: string;
  readonly window?: number;
  readonly maxTokens?: number;
  readonly dtype: DType;
  readonly backend: BackendName;
  readonly threads?: number;
  readonly json?: boolean;
}

/** Each tensor costs a pass over the text by two models: so many tokens tell them apart. */
const TOKENS = 4096;

/** `mamba quality --sensitivity`: which tensors suffer most where each alone is quantised. */
export async function tensorSensitivity(names: readonly string[], options: SensitivityOptions): Promise<void> {
  if (names.length !== 1) throw new UsageError('--sensitivity takes one model');
  await interruptible(async (signal) => {
    const text = await readText(options.text, signal);
    const opened = await openSource(names[0], signal);
    const model = await loadOpened(opened, options, signal);
    const architecture = await findArchitecture(opened.config);
    const config = opened.config as ConfigJson;
    const { parameters } = architecture.createModel(architecture.parseConfig(config));
    const specs = new Map(listParameters(parameters).map((spec) => [spec.name, spec]));
    const { dtype } = options;
    const cases = [...opened.weights.entries.values()].flatMap((entry) => {
      const spec = specs.get(architecture.canonicalName(entry.name));
      const count = entry.shape.reduce((product, axis) => product * axis, 1);
      const saved = entry.byteLength - bytesOf(dtype, count);
      // Vectors and convolutions are never quantised, nor are rows that are no whole blocks.
      if (spec?.role !== 'matrix' || entry.shape.at(-1)! % DTYPES[dtype].block !== 0 || saved <= 0) return [];
      return [
        {
          tensor: spec.name,
          parameters: count,
          bytes_saved: saved,
          load: async () => {
            const backend = await createBackend(options.backend, options.threads);
            const weights = recodedSource(opened.weights, entry.name, dtype);
            const version = await loadLanguageModel(architecture, config, weights, backend, { signal });
            const dispose = version.dispose.bind(version);
            return Object.assign(version, {
              dispose: () => {
                dispose();
                backend.dispose();
              },
            });
          },
        },
      ];
    });
    if (cases.length === 0) throw new UsageError(`no tensor of ${names[0]} can be made smaller as ${dtype}`);
    const bar = new ProgressBar('comparing');
    try {
      const ids = model.tokenizer.encode(text);
      const report = await rankSensitivity(
        model.languageModel,
        cases,
        ids.slice(0, options.maxTokens ?? TOKENS),
        dtype,
        {
          ...(options.window === undefined ? {} : { window: options.window }),
          signal,
          onProgress: ({ done, total }) => bar.update(done, total),
        },
      );
      bar.end();
      if (options.json) printJson({ model: names[0], ...report });
      else print(tableOf(report));
    } finally {
      bar.end();
      await model.dispose();
    }
  });
}

function tableOf({ dtype, scored, nats_per_token, tensors }: SensitivityReport): string {
  const width = Math.max(6, ...tensors.map(({ tensor }) => tensor.length)) + 2;
  const row = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(14))).join('');
  const lines = [row(['tensor', 'parameters', 'saves', 'mean KL', 'nats/token'])];
  for (const { tensor, parameters, bytes_saved, kl_mean, nats_change } of tensors) {
    const change = `${nats_change < 0 ? '' : '+'}${nats_change.toFixed(5)}`;
    lines.push(row([tensor, countText(parameters), bytesText(bytes_saved), kl_mean.toFixed(6), change]));
  }
  return (
    `${lines.join('\n')}\n\nEach tensor alone as ${dtype}, over ${countText(scored)} tokens that cost ` +
    `${nats_per_token.toFixed(5)} nats each otherwise; the most sensitive first.\n`
  );
}
