import {
  describeTask,
  modelTitles,
  percent,
  runTask,
  TASK_MODELS,
  TASK_SETTINGS,
  type TaskModelName,
  type TaskName,
  type TaskReport,
  type TaskSettings,
  taskSvg,
} from '@mamba-ts/lab';
import { saveFile } from '@mamba-ts/loaders/node';
import { type BackendName, createTrainingBackend } from 'mamba-ts';
import { createTrainingTeam } from 'mamba-ts/node';
import { interruptible, UsageError } from '../failure.ts';
import { printJson } from '../model.ts';
import { note, ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';

interface TaskOptions extends Partial<TaskSettings> {
  readonly models?: readonly string[];
  readonly minutes?: number;
  readonly seed: number;
  readonly threads: number;
  readonly svg?: string;
  readonly backend: BackendName;
  readonly json?: boolean;
}

const ALL = Object.keys(TASK_MODELS) as TaskModelName[];

/** `mamba task`: small models side by side on a synthetic task. */
export async function runTasks(task: TaskName, options: TaskOptions): Promise<void> {
  const models = (options.models ?? ALL) as TaskModelName[];
  const unknown = models.find((name) => !ALL.includes(name));
  if (unknown !== undefined) throw new UsageError(`--models knows ${ALL.join(', ')}, found "${unknown}"`);
  const twice = models.find((name, i) => models.indexOf(name) !== i);
  if (twice !== undefined) throw new UsageError(`--models names "${twice}" twice`);
  if (options.steps !== undefined && options.minutes !== undefined)
    throw new UsageError('give either --steps N or --minutes N');
  const settings = settingsOf(task, options);
  if (settings.width % 16 !== 0) throw new UsageError(`--width must be a multiple of 16, found ${settings.width}`);
  await interruptible(async (signal) => {
    const backend = await createTrainingBackend(options.backend);
    let bar = new ProgressBar('');
    try {
      const report = await runTask(task, models, settings, options.seed, {
        backend,
        ...(options.threads > 1
          ? {
              team: (config, values) =>
                createTrainingTeam(options.threads, { config, backend: options.backend, values }),
            }
          : {}),
        minutes: options.minutes,
        signal,
        onStep: (model, step, steps, loss) => {
          if (step === 1) {
            bar.end();
            bar = new ProgressBar(`training ${modelTitles[model]}`);
          }
          bar.update(
            step,
            steps ?? step + 1,
            `step ${step}${steps === null ? '' : ` of ${steps}`}, loss ${loss.toFixed(3)}`,
          );
        },
        onTest: (model, length) => {
          bar.end();
          bar = new ProgressBar(`testing ${modelTitles[model]} at length ${length}`);
        },
        onTested: (share) => bar.update(share, 1),
        onResult: ({ model, accuracy, steps, seconds }) => {
          bar.end();
          const right = accuracy === null ? 'not tested' : `${percent(accuracy)} right`;
          note(`${modelTitles[model]}: ${right} after ${steps} steps, ${seconds.toFixed(0)} s`);
        },
      });
      if (options.svg !== undefined) await saveFile(options.svg, [new TextEncoder().encode(taskSvg(report))]);
      if (options.json) printJson(report);
      else print(`${tableOf(report)}\n\n${describeTask(report)}\n`);
    } finally {
      bar.end();
      backend.dispose();
    }
  });
}

/** The task's own settings, but for what is given. */
function settingsOf(task: TaskName, given: Partial<TaskSettings>): TaskSettings {
  const own = TASK_SETTINGS[task];
  const length = given.length ?? own.length;
  return {
    length,
    from: Math.min(given.from ?? own.from, length),
    batch: given.batch ?? own.batch,
    steps: given.steps ?? own.steps,
    rate: given.rate ?? own.rate,
    width: given.width ?? own.width,
    layers: given.layers ?? own.layers,
    testLengths: given.testLengths ?? own.testLengths,
  };
}

/** One line for each model: its size, its training, and right answers by length. */
function tableOf({ models }: TaskReport): string {
  const tested = [...new Set(models.flatMap(({ by_length }) => by_length.map(({ length }) => length)))];
  tested.sort((a, b) => a - b);
  const row = (cells: readonly string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(12) : cell.padStart(9))).join('');
  return [
    row(['model', 'params', 'steps', 'seconds', 'loss', ...tested.map((length) => `at ${length}`)]),
    ...models.map(({ model, params, steps, seconds, loss, by_length }) =>
      row([
        modelTitles[model],
        String(params),
        String(steps),
        seconds.toFixed(0),
        loss.toFixed(3),
        ...tested.map((length) => {
          const found = by_length.find((test) => test.length === length);
          return found ? percent(found.accuracy) : '–';
        }),
      ]),
    ),
  ].join('\n');
}
