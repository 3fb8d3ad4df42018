import { saveSafetensors } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
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

async function readIds(path: string): Promise<number[]> {
  const text = await readText(path);
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
    const text = options.text === undefined ? null : await readText(options.text);
    const model = await load(options, signal);
    const ids = text === null ? await readIds(options.ids!) : model.tokenizer.encode(text);
    const bar = new ProgressBar('scoring');
    const { vocabSize } = model.info;
    const logits = options.logits === undefined ? null : new Float32Array(ids.length * vocabSize);
    const result = await model.score(ids, {
      ...(options.window === undefined ? {} : { window: options.window }),
      ...(logits ? { onLogits: (start, rows) => logits.set(rows, start * vocabSize) } : {}),
      signal,
      onProgress: ({ done, total }) => bar.update(done, total),
    });
    bar.end();
    if (logits) {
      const data = new Uint8Array(logits.buffer);
      await saveSafetensors(options.logits!, [{ name: 'logits', dtype: 'f32', shape: [ids.length, vocabSize], data }]);
    }
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
    };
    if (options.json) printJson(report);
    else {
      process.stdout.write(
        `${natsPerToken.toFixed(5)} nats per token over ${result.scored} tokens ` +
          `(perplexity ${report.perplexity.toFixed(3)}, ${report.bits_per_byte?.toFixed(5) ?? '-'} bits per byte)\n`,
      );
    }
    await model.dispose();
  });
}

/** The text behind ids, where the checkpoint has a tokenizer: bits per byte needs its length. */
async function textOf(model: Awaited<ReturnType<typeof load>>, ids: readonly number[]): Promise<string> {
  return model.info.files.some(({ name }) => name === 'tokenizer.json') ? model.detokenize(ids) : '';
}
