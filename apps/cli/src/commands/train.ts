import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type ConfigJson, findArchitecture } from '@mamba-ts/layers';
import { jsonText, readJsonObject } from '@mamba-ts/loaders';
import { openFile, saveFile } from '@mamba-ts/loaders/node';
import { Tokenizer, trainTokenizer } from '@mamba-ts/tokenizer';
import { type ChartPoint, lossSvg, type TrainingOptions } from '@mamba-ts/train';
import { RunFolder, type RunPlan, train } from '@mamba-ts/train/node';
import { type BackendName, createTrainingBackend } from 'mamba-ts';
import { createTrainingTeam } from 'mamba-ts/node';
import { interruptible, UsageError } from '../failure.ts';
import { printJson, readText } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';
import { isTokenFile, openTokens, readTexts, type Split, tokenize } from '../train/data.ts';
import { TRAINED } from '../train/defaults.ts';

/** What the command line says; all but `out`, `resume`, `threads`, `html` and `json` is kept in run.json. */
interface TrainOptions {
  readonly arch: string;
  readonly config?: string;
  readonly data?: string;
  readonly out: string;
  readonly steps?: number;
  readonly minutes?: number;
  readonly resume?: boolean;
  readonly tokenizer?: string;
  readonly vocabSize: number;
  readonly batch: number;
  readonly length: number;
  readonly accumulate: number;
  readonly rate: number;
  readonly warmup: number;
  readonly schedule: 'cosine' | 'wsd';
  readonly decay: number;
  readonly floor: number;
  readonly weightDecay: number;
  readonly dropout: number;
  readonly ema?: number;
  readonly validation: number;
  readonly evalEvery: number;
  readonly saveEvery: number;
  readonly keep: number;
  readonly seed: number;
  readonly backend: BackendName;
  readonly threads: number;
  readonly html?: string;
  readonly json?: boolean;
}

const SEPARATOR = '<|endoftext|>';

/** `mamba train`: a small model from a text, in a run that may be killed and resumed at any moment. */
export async function trainModel(given: TrainOptions): Promise<void> {
  await interruptible(async (signal) => {
    const folder = new RunFolder(given.out);
    const plan = given.resume ? await folder.readPlan() : await begin(folder, given, signal);
    // Of a resumed run its own options count; where to draw and what to print are this call's.
    const options = plan.options as unknown as TrainOptions;
    const tokenizer = Tokenizer.fromJSON(await folder.read('tokenizer.json'));
    const config = await readConfig(join(given.out, 'config.json'));
    const separator = separatorOf(config);
    const split: Split = isTokenFile(options.data!)
      ? await openTokens(options.data!, options.validation)
      : tokenize(await readTexts(options.data!, options.validation, signal), tokenizer, separator);
    const backend = await createTrainingBackend(options.backend);
    const bar = new ProgressBar('training');
    const points: ChartPoint[] = given.resume ? await folder.readLog() : [];
    const first = points.at(-1)?.step ?? 0;
    const started = performance.now();
    let drawn = 0;
    try {
      const result = await train(
        {
          folder,
          plan,
          architecture: await findArchitecture(config),
          config,
          backend,
          team:
            given.threads > 1
              ? (values) => createTrainingTeam(given.threads, { config, backend: options.backend, values })
              : undefined,
          training: split.training,
          validation: split.validation,
          options: trainingOptions(options, separator),
          minutes: options.minutes ?? null,
          evalEvery: options.evalEvery,
          saveEvery: options.saveEvery,
          keep: options.keep,
        },
        {
          signal,
          onStep: (line, steps) => {
            points.push(line);
            const { step, nats_per_token, val_loss, tokens } = line;
            if (val_loss !== undefined) {
              bar.end();
              note(`step ${step}: ${nats_per_token.toFixed(4)} nats per token, validation ${val_loss.toFixed(4)}`);
            }
            bar.update(
              step,
              steps ?? step + 1,
              paceText(nats_per_token, tokens, step - first, steps && steps - step, started),
            );
            if (given.html !== undefined && (val_loss !== undefined || performance.now() - drawn > 5000)) {
              drawn = performance.now();
              void saveFile(given.html, [new TextEncoder().encode(page(points, steps))]).catch(() => {});
            }
          },
        },
      );
      bar.end();
      if (given.html !== undefined) await saveFile(given.html, [new TextEncoder().encode(page(points, result.steps))]);
      const { characters } = split;
      const report = {
        ...result,
        val_loss_per_char: characters ? (result.val_loss * split.validation.length) / characters : null,
        peak_mb: process.resourceUsage().maxRSS / 1024,
        out: resolve(given.out),
      };
      if (given.json) printJson(report);
      else {
        print(
          `${report.steps} steps, ${report.tokens} tokens in ${report.seconds.toFixed(0)} s (${report.tok_s.toFixed(0)} tokens/s); ` +
            `training ${report.train_loss.toFixed(4)}, validation ${report.val_loss.toFixed(4)} nats per token\n` +
            `mamba run --model ${given.out}\n`,
        );
      }
    } finally {
      bar.end();
      backend.dispose();
    }
  });
}

/** Makes the folder of a new run: the options, the config, and a tokenizer, learned where none is given. */
async function begin(folder: RunFolder, options: TrainOptions, signal: AbortSignal): Promise<RunPlan> {
  const { data, steps, minutes, warmup } = options;
  if (data === undefined) throw new UsageError('train needs --data FILE');
  if ((steps === undefined) === (minutes === undefined)) throw new UsageError('give either --steps N or --minutes N');
  if (minutes !== undefined && warmup < 20)
    throw new UsageError('--minutes needs a --warmup of at least 20: so many steps are timed first');
  const tokenizerJson =
    options.tokenizer === undefined
      ? await learnTokenizer(data, options, signal)
      : await readText(await besideTokenizer(options.tokenizer, 'tokenizer.json'), signal);
  const { vocab } = (JSON.parse(tokenizerJson) as { model: { vocab: Record<string, number> } }).model;
  const tokenizer = Tokenizer.fromJSON(tokenizerJson);
  const special =
    vocab[SEPARATOR] === undefined ? {} : { bos_token_id: vocab[SEPARATOR], eos_token_id: vocab[SEPARATOR] };
  const given = options.config === undefined ? {} : await readConfig(options.config);
  const json: ConfigJson = { ...TRAINED[options.arch]!, vocab_size: tokenizer.vocabSize, ...special, ...given };
  const architecture = await findArchitecture(json);
  // As transformers reads it, with every field; what it does not know stays in its own layout.
  const config = architecture.huggingFaceConfig?.(json) ?? json;
  architecture.createModel(architecture.parseConfig(config));
  const { out: _, resume: __, html: ___, json: ____, threads: _____, ...kept } = options;
  const plan: RunPlan = {
    version: 1,
    options: { ...kept, data: resolve(data) },
    steps: steps ?? null,
  };
  await folder.create(plan, {
    'config.json': jsonText(config),
    'tokenizer.json': tokenizerJson,
    'tokenizer_config.json': await tokenizerConfig(options.tokenizer, vocab[SEPARATOR] !== undefined),
  });
  return plan;
}

async function learnTokenizer(data: string, options: TrainOptions, signal: AbortSignal): Promise<string> {
  if (isTokenFile(data)) throw new UsageError('a file of token ids needs the --tokenizer that made them');
  const { training } = await readTexts(data, options.validation, signal);
  const bar = new ProgressBar('learning a vocabulary');
  try {
    return JSON.stringify(
      trainTokenizer(training, {
        vocabSize: options.vocabSize,
        specialTokens: [SEPARATOR],
        signal,
        onProgress: (done, total) => bar.update(done, total),
      }),
    );
  } finally {
    bar.end();
  }
}

/** A tokenizer.json is named itself, or by its folder: the path of a file beside it, or of itself. */
async function besideTokenizer(path: string, name: string): Promise<string> {
  if ((await stat(path).catch(() => null))?.isDirectory()) return join(path, name);
  return name === 'tokenizer.json' ? path : join(dirname(path), name);
}

/** That of the given tokenizer where it has one. By itself transformers would take one class or another by the model. */
async function tokenizerConfig(given: string | undefined, separated: boolean): Promise<string> {
  const own =
    given && (await readFile(await besideTokenizer(given, 'tokenizer_config.json'), 'utf8').catch(() => null));
  const special = separated ? { bos_token: SEPARATOR, eos_token: SEPARATOR, pad_token: SEPARATOR } : {};
  return (
    own || jsonText({ tokenizer_class: 'PreTrainedTokenizerFast', ...special, clean_up_tokenization_spaces: false })
  );
}

const readConfig = async (path: string): Promise<ConfigJson> => readJsonObject(await openFile(path), 'CONFIG', 1 << 20);

const separatorOf = (config: ConfigJson): number | null =>
  typeof config.eos_token_id === 'number' ? config.eos_token_id : null;

function trainingOptions(o: TrainOptions, separator: number | null): TrainingOptions {
  return {
    sequences: o.batch,
    length: o.length,
    separator,
    seed: o.seed,
    rate: o.rate,
    warmup: o.warmup,
    shape: o.schedule,
    decay: o.decay,
    floor: o.floor,
    accumulate: o.accumulate,
    dropout: o.dropout,
    ...(o.ema === undefined ? {} : { averageDecay: o.ema }),
    adamw: { weightDecay: o.weightDecay },
  };
}

/** `loss 3.412, 2,830 tokens/s, 95 s left`, by the time that `done` steps of this call have taken. */
function paceText(loss: number, tokens: number, done: number, left: number | null, started: number): string {
  const secondsPerStep = (performance.now() - started) / 1000 / done;
  const rate = Math.round(tokens / secondsPerStep).toLocaleString('en-US');
  return `loss ${loss.toFixed(3)}, ${rate} tokens/s${left === null ? '' : `, ${(left * secondsPerStep).toFixed(0)} s left`}`;
}

const page = (points: readonly ChartPoint[], steps: number | null): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5"><title>Training</title>
<style>:root { color-scheme: light dark; } body { font: 16px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem; background: light-dark(#fff, #14161a); color: light-dark(#1c2128, #e4e7eb); } svg { width: 100%; height: auto; }</style>
</head><body><h1>Step ${points.at(-1)?.step ?? 0}${steps === null ? '' : ` of ${steps}`}</h1>
${lossSvg(points, steps)}
</body></html>
`;
