import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { type GgufDType, isGguf } from '@mamba-ts/loaders';
import { saveFile } from '@mamba-ts/loaders/node';
import { interruptible, UsageError } from '../failure.ts';
import { printJson } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { suiteHtml } from '../suite/html.ts';
import { writeRandomGguf } from '../suite/random-gguf.ts';
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

const DTYPES: readonly GgufDType[] = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'];

/** `mamba bench --suite`: the table of sizes, dtypes and threads beside the limits and the peers. */
export async function benchSuite(options: SuiteOptions): Promise<void> {
  const { against = [], model, threadsList, promptTokens, genTokens, repeat } = options;
  for (const name of against) {
    if (!(name in PEERS)) throw new UsageError(`--against knows ${Object.keys(PEERS).join(' and ')}, not "${name}"`);
  }
  for (const dtype of options.dtypes) {
    if (!DTYPES.some((known) => known === dtype))
      throw new UsageError(`--dtypes knows ${DTYPES.join(', ')}, not "${dtype}"`);
  }
  if (model !== undefined && !(isGguf(model) && existsSync(model)))
    throw new UsageError(
      `--suite --model takes a GGUF file of this machine, for the peers read no other: not ${model}`,
    );
  await interruptible(async (signal) => {
    const folder = await mkdtemp(join(tmpdir(), 'mamba-suite-'));
    const made = new Map<string, Promise<string>>();
    const random = (size: string, dtype: string): Promise<string> => {
      const name = `${size} ${dtype}`;
      if (!made.has(name)) made.set(name, writeRandomGguf(folder, size, dtype as GgufDType, signal));
      return made.get(name)!;
    };
    const files =
      model === undefined
        ? options.sizes.flatMap((size) =>
            options.dtypes.map((dtype) => ({ model: size, dtype, file: () => random(size, dtype) })),
          )
        : [{ model: basename(model, '.gguf'), dtype: 'file', file: async () => model }];
    const cases = files.flatMap((file) => threadsList.map((threads): SuiteCase => ({ ...file, threads })));
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
      await rm(folder, { recursive: true, force: true });
    }
  });
}
