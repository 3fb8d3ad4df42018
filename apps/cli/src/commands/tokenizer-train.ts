import { saveFile } from '@mamba-ts/loaders/node';
import { trainTokenizer } from '@mamba-ts/tokenizer';
import { interruptible, UsageError } from '../failure.ts';
import { printJson } from '../model.ts';
import { ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';
import { isTokenFile, readTexts } from '../train/data.ts';

interface TokenizerTrainOptions {
  readonly data: string;
  readonly out: string;
  readonly vocabSize: number;
  readonly minFrequency: number;
  readonly json?: boolean;
}

/** `mamba tokenizer train`: a byte-level BPE vocabulary of a text, as tokenizer.json. */
export async function tokenizerTrain(options: TokenizerTrainOptions): Promise<void> {
  if (isTokenFile(options.data)) throw new UsageError('a vocabulary is learned from text, not from token ids');
  await interruptible(async (signal) => {
    const { training } = await readTexts(options.data, 0, signal);
    const bar = new ProgressBar('learning a vocabulary');
    try {
      const tokenizer = trainTokenizer(training, {
        vocabSize: options.vocabSize,
        minFrequency: options.minFrequency,
        signal,
        onProgress: (done, total) => bar.update(done, total),
      }) as { model: { vocab: object; merges: readonly unknown[] } };
      bar.end();
      await saveFile(options.out, [new TextEncoder().encode(JSON.stringify(tokenizer))], signal);
      const report = {
        vocab_size: Object.keys(tokenizer.model.vocab).length,
        merges: tokenizer.model.merges.length,
        out: options.out,
      };
      if (options.json) printJson(report);
      else print(`${report.vocab_size} tokens, ${report.merges} merges in ${options.out}\n`);
    } finally {
      bar.end();
    }
  });
}
