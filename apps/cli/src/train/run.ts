import { join, resolve } from 'node:path';
import { type ConfigJson, findArchitecture } from '@mamba-ts/layers';
import { readJsonObject } from '@mamba-ts/loaders';
import { openFile, saveFile } from '@mamba-ts/loaders/node';
import { Tokenizer } from '@mamba-ts/tokenizer';
import { type ChartPoint, lossSvg, schedule, TIMED_STEPS, type TrainingOptions } from '@mamba-ts/train';
import { type RunFolder, type RunPlan, type TrainingResult, type TunedModel, train } from '@mamba-ts/train/node';
import { type BackendName, createTrainingBackend } from 'mamba-ts';
import { createTrainingTeam } from 'mamba-ts/node';
import { UsageError } from '../failure.ts';
import { note, ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';
import { isTokenFile, openTokens, readTexts, type Split, tokenize } from './data.ts';

// What `mamba train` and `mamba tune` have in common.

/** How to run a training. */
export interface RunOptions {
  readonly data: string;
  readonly out: string;
  readonly steps?: number;
  readonly minutes?: number;
  readonly resume?: boolean;
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
  readonly offline?: boolean;
}

/** What counts of the call even where a run is resumed: where it lies, who computes, what is drawn and printed. */
export type RunCall = Pick<RunOptions, 'out' | 'resume' | 'threads' | 'html' | 'json' | 'offline'>;

/** What a run came to, as `--json` prints it. */
export interface RunReport extends TrainingResult {
  readonly val_loss_per_char: number | null;
  readonly peak_mb: number;
  readonly out: string;
}

/** The options of a new run as the command line gives them: `data` may be missing, and `warmup` depends on the steps. */
export type GivenOptions = Omit<RunOptions, 'data' | 'warmup'> & { readonly data?: string; readonly warmup?: number };

/**
 * The options of a new run, which fit each other. `longest`: the warm-up unless told otherwise, but at most a quarter of the
 * steps; where they are not known, as many as are timed.
 */
export function settle<T extends GivenOptions>(
  command: string,
  given: T,
  longest: number,
): T & { readonly data: string; readonly warmup: number } {
  const { data, steps, minutes, schedule: shape, decay } = given;
  const warmup = given.warmup ?? (steps === undefined ? TIMED_STEPS : Math.min(longest, Math.floor(steps / 4)));
  if (data === undefined) throw new UsageError(`${command} needs --data FILE`);
  if ((steps === undefined) === (minutes === undefined)) throw new UsageError('give either --steps N or --minutes N');
  if (minutes !== undefined && warmup < TIMED_STEPS)
    throw new UsageError(`--minutes needs a --warmup of at least ${TIMED_STEPS}: so many steps are timed first`);
  if (steps !== undefined) schedule({ steps, warmup, shape, decay });
  return { ...given, data: resolve(data), warmup };
}

/**
 * That what the command line says of a resumed run is what it was begun with: the run is a function of that. `said` are the
 * names of the options that were given.
 */
export function checkResumed({ options }: RunPlan, given: RunCall, said: readonly string[]): void {
  const call: readonly string[] = ['out', 'resume', 'threads', 'html', 'json', 'offline'] satisfies (keyof RunCall)[];
  for (const name of said) {
    if (call.includes(name)) continue;
    const value = (given as Readonly<Record<string, unknown>>)[name];
    // A path is kept as it is from the root.
    const same = [value, typeof value === 'string' ? resolve(value) : value].some(
      (each) => JSON.stringify(each) === JSON.stringify(options[name]),
    );
    if (same) continue;
    throw new UsageError(
      `this run was begun with ${name} = ${JSON.stringify(options[name] ?? null)} and goes on with it: leave the option out, or ` +
        'begin a new run in another folder',
    );
  }
}

/** What run.json keeps of the options: all that the result depends on. */
export function planOf(options: RunOptions): RunPlan {
  const { out: _, resume: __, html: ___, json: ____, threads: _____, offline: ______, ...kept } = options;
  return { version: 1, options: { ...kept }, steps: options.steps ?? null };
}

/** Runs to the end what `plan` says, in its folder, and prints a line of summary unless `--json` is given. */
export async function runTraining(
  folder: RunFolder,
  plan: RunPlan,
  given: RunCall,
  signal: AbortSignal,
  tuned?: TunedModel,
): Promise<RunReport> {
  const options = plan.options as unknown as RunOptions;
  const tokenizer = Tokenizer.fromJSON(await folder.read('tokenizer.json'));
  const config = await readConfig(join(given.out, 'config.json'));
  const separator = separatorOf(config);
  const split: Split = isTokenFile(options.data)
    ? await openTokens(options.data, options.validation)
    : tokenize(await readTexts(options.data, options.validation, signal), tokenizer, separator);
  const backend = await createTrainingBackend(options.backend);
  const bar = new ProgressBar('training');
  const points: ChartPoint[] = [];
  let first = 0;
  const started = performance.now();
  let drawn = 0;
  // One after another: an older picture must not land on a newer one.
  let drawing: Promise<void> = Promise.resolve();
  const draw = (file: string, steps: number | null): Promise<void> => {
    const picture = new TextEncoder().encode(page(points, steps));
    return drawing.then(() => saveFile(file, [picture]));
  };
  try {
    const result = await train(
      {
        folder,
        plan,
        architecture: await findArchitecture(config),
        config,
        backend,
        tuned,
        team:
          given.threads > 1
            ? (values) =>
                createTrainingTeam(given.threads, {
                  config,
                  backend: options.backend,
                  values,
                  tuning: tuned?.tuning,
                })
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
        onStart: (log) => {
          points.push(...log);
          first = log.at(-1)?.step ?? 0;
        },
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
            drawing = draw(given.html, steps).catch(() => {});
          }
        },
      },
    );
    bar.end();
    if (given.html !== undefined) await draw(given.html, result.steps);
    const { characters } = split;
    const report = {
      ...result,
      val_loss_per_char: characters ? (result.val_loss * split.validation.length) / characters : null,
      peak_mb: process.resourceUsage().maxRSS / 1024,
      out: resolve(given.out),
    };
    if (!given.json) {
      const before = report.val_loss_before === undefined ? '' : `${report.val_loss_before.toFixed(4)} -> `;
      print(
        `${report.steps} steps, ${report.tokens} tokens in ${report.seconds.toFixed(0)} s (${report.tok_s.toFixed(0)} tokens/s); ` +
          `training ${report.train_loss.toFixed(4)}, validation ${before}${report.val_loss.toFixed(4)} nats per token\n`,
      );
    }
    return report;
  } finally {
    bar.end();
    backend.dispose();
  }
}

/** The object in a config.json. */
export const readConfig = async (path: string): Promise<ConfigJson> =>
  readJsonObject(await openFile(path), 'CONFIG', 1 << 20);

/** What ends a document: the first of a model's ends of text. */
function separatorOf({ eos_token_id: end }: ConfigJson): number | null {
  const first: unknown = Array.isArray(end) ? end[0] : end;
  return typeof first === 'number' ? first : null;
}

function trainingOptions(o: RunOptions, separator: number | null): TrainingOptions {
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
