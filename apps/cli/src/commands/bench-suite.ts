import { basename } from 'node:path';
import { saveFile } from '@mamba-ts/loaders/node';
import { interruptible, UsageError } from '../failure.ts';
import { printJson } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { suiteHtml } from '../suite/html.ts';
import { suiteTable } from '../suite/report.ts';
import { PEERS, type SuiteCase, suite } from '../suite/suite.ts';
import { print } from '../terminal.ts';

interface SuiteOptions {
  readonly model?: string;
  readonly sizes: readonly string[];
  readonly dtypes: readonly string[];
  readonly threadsList: readonly number[];
  readonly against?: readonly string[];
  readonly promptTokens: number;
  readonly genTokens: number;
  readonly repeat: number;
  readonly html?: string;
  readonly json?: boolean;
}

/** `mamba bench --suite`: the table of sizes, dtypes and threads beside the limits and the peers. */
export async function benchSuite(options: SuiteOptions): Promise<void> {
  const { against = [], model, threadsList, promptTokens, genTokens, repeat } = options;
  for (const name of against) {
    if (!(name in PEERS)) throw new UsageError(`--against knows ${Object.keys(PEERS).join(' and ')}, not "${name}"`);
  }
  if (model === undefined) throw new UsageError('--suite needs --model FILE.gguf');
  await interruptible(async (signal) => {
    const cases = threadsList.flatMap((threads): SuiteCase[] =>
      model === undefined ? [] : [{ model: basename(model, '.gguf'), dtype: 'file', threads, file: async () => model }],
    );
    const bar = new ProgressBar('measuring');
    try {
      const report = await suite({
        cases,
        against,
        chromium: true,
        repeats: repeat,
        promptTokens,
        genTokens,
        signal,
        onProgress: (share) => bar.update(share, 1),
        onRow: ({ model, dtype, threads, engines }) => {
          bar.end();
          for (const [name, { prefill_tok_s, decode_tok_s }] of Object.entries(engines))
            note(
              `${model} ${dtype}, ${threads} threads, ${name}: prefill ${prefill_tok_s.median.toFixed(1)}, ` +
                `decode ${decode_tok_s.median.toFixed(1)} tokens/s`,
            );
        },
      });
      bar.end();
      if (options.html !== undefined) await saveFile(options.html, [new TextEncoder().encode(suiteHtml(report))]);
      if (options.json) printJson(report);
      else print(suiteTable(report));
    } finally {
      bar.end();
    }
  });
}
