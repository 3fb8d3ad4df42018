import type { GenerationResult } from 'mamba-ts';
import { interruptible } from '../failure.ts';
import { load, type ModelOptions, printJson, readStdin } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { print, taken } from '../terminal.ts';

interface RunOptions extends ModelOptions {
  readonly maxTokens: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  readonly seed?: number;
  readonly stop: string[];
  readonly json?: boolean;
}

const DEFAULT_PROMPT = 'ROMEO:';

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const perSecond = (tokens: number, ms: number): number => (tokens > 0 && ms > 0 ? (1000 * tokens) / ms : 0);

/** `mamba run [PROMPT]`: prompt and text on stdout as they come, speed on stderr. */
export async function run(argument: string | undefined, options: RunOptions): Promise<void> {
  await interruptible(async (signal) => {
    const piped = argument === undefined && !process.stdin.isTTY ? await readStdin(signal) : '';
    const prompt = argument ?? (piped === '' ? DEFAULT_PROMPT : piped);
    const model = await load(options, signal);
    const bar = new ProgressBar('reading the prompt');
    const stream = model.stream(prompt, {
      maxTokens: options.maxTokens,
      temperature: options.temperature,
      topK: options.topK,
      topP: options.topP,
      minP: options.minP,
      repetitionPenalty: options.repetitionPenalty,
      ...(options.seed === undefined ? {} : { seed: options.seed }),
      stop: options.stop,
      signal,
      onProgress: ({ done, total }) => {
        if (done < total) return bar.update(done, total);
        // Not before: a call that is refused prints nothing, and a long prompt does not run into the bar.
        bar.end();
        if (!options.json) print(prompt);
      },
    });
    let result: GenerationResult;
    try {
      for (;;) {
        const step = await stream.next();
        if (step.done) {
          result = step.value;
          break;
        }
        if (!options.json) print(step.value);
      }
    } finally {
      bar.end();
    }
    const { info } = model;
    const prefillSpeed = perSecond(result.prefillTokens, result.prefillMs);
    const decodeSpeed = perSecond(result.decodeTokens, result.decodeMs);
    if (options.json) {
      printJson({
        model: info.name,
        prompt,
        text: result.text,
        tokens: result.ids.length,
        ids: result.ids,
        stop_reason: result.stopReason,
        seed: result.seed,
        load_ms: info.loadMs,
        prefill_tokens: result.prefillTokens,
        prefill_tok_s: prefillSpeed,
        decode_tokens: result.decodeTokens,
        decode_tok_s: decodeSpeed,
        backend: info.backend.name,
        threads: info.backend.threads,
        ...(result.skipped === undefined ? {} : { skipped: result.skipped }),
      });
    } else {
      // The summary speaks of a text that has arrived: a full disk is told instead.
      await taken('\n');
      note(
        `\n${info.name} on ${info.backend.name}: loaded in ${info.loadMs.toFixed(0)} ms, ` +
          `${result.prefillTokens} prompt tokens at ${prefillSpeed.toFixed(0)} tokens/s, ` +
          `${result.ids.length} generated at ${decodeSpeed.toFixed(0)} tokens/s (seed ${result.seed})` +
          (result.skipped === undefined ? '' : `, ${percent(result.skipped)} of the updates skipped`),
      );
    }
    await model.dispose();
  });
}
