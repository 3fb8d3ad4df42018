import { bytesText, countText, type QualityModel, type QualityReport, quality } from '@mamba-ts/lab';
import { MambaError } from '@mamba-ts/tensor';
import type { BackendName, LocalModel } from 'mamba-ts';
import { interruptible } from '../failure.ts';
import { load, printJson, readText } from '../model.ts';
import { ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

interface QualityOptions {
  readonly text: string;
  readonly window?: number;
  readonly maxTokens?: number;
  readonly backend: BackendName;
  readonly threads?: number;
  readonly json?: boolean;
}

/** `mamba quality`: the table to look at before choosing a quantisation. */
export async function modelQuality(names: readonly string[], options: QualityOptions): Promise<void> {
  await interruptible(async (signal) => {
    const text = await readText(options.text, signal);
    const loaded: LocalModel[] = [];
    const bar = new ProgressBar('reading');
    try {
      for (const model of names)
        loaded.push(await load({ model, backend: options.backend, threads: options.threads }, signal));
      const models = loaded.map((model, at): QualityModel => {
        const { weightBytes, files } = model.info;
        const fileBytes = files.reduce((sum, { size }) => sum + size, 0);
        return { name: names[at]!, model: model.languageModel, weightBytes, fileBytes };
      });
      const report = await quality(models, idsOf(text, loaded, names).slice(0, options.maxTokens), {
        ...(options.window === undefined ? {} : { window: options.window }),
        signal,
        onProgress: ({ done, total }) => bar.update(done, total),
      });
      bar.end();
      if (options.json) printJson(report);
      else print(tableOf(report));
    } finally {
      bar.end();
      for (const model of loaded) await model.dispose();
    }
  });
}

/** The ids of the text, which every model's tokenizer must give alike. */
function idsOf(text: string, models: readonly LocalModel[], names: readonly string[]): number[] {
  const [first, ...others] = models.map((model) => model.tokenizer.encode(text));
  for (const [i, ids] of others.entries()) {
    if (ids.length !== first!.length || ids.some((id, at) => id !== first![at])) {
      throw new MambaError(
        'QUALITY_VOCABULARY',
        `the tokenizers of ${names[0]} and ${names[i + 1]} split the text differently: only versions of one model can be ` +
          'compared token by token; `mamba score` gives bits per byte for the others',
      );
    }
  }
  return first!;
}

function tableOf(report: QualityReport): string {
  const titles = withoutCommonFolder(report.models.map(({ name }) => name));
  const width = Math.max(5, ...titles.map((title) => title.length)) + 2;
  const row = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(12))).join('');
  const lines = [row(['model', 'file', 'in memory', 'nats/token', 'mean KL', '99.9 % KL', 'same top'])];
  for (const [at, model] of report.models.entries()) {
    const compared = at > 0;
    lines.push(
      row([
        titles[at]!,
        model.file_bytes === null ? '-' : bytesText(model.file_bytes),
        bytesText(model.weight_bytes),
        model.nats_per_token.toFixed(5),
        compared ? model.kl_mean.toFixed(6) : '-',
        compared ? model.kl_p999.toFixed(5) : '-',
        compared ? `${(100 * model.top1_equal).toFixed(2)} %` : '-',
      ]),
    );
  }
  return `${lines.join('\n')}\n\nOver ${countText(report.scored)} tokens, compared with the first, in nats.\n`;
}

/** Paths without the folders that all of them begin with. */
function withoutCommonFolder(names: readonly string[]): readonly string[] {
  const parts = names.map((name) => name.replace(/\/+$/, '').split('/'));
  let shared = 0;
  while (parts.every((part) => shared < part.length - 1 && part[shared] === parts[0]![shared])) shared++;
  return parts.map((part) => part.slice(shared).join('/'));
}
