import { findArchitecture, loadLanguageModel } from '@mamba-ts/layers';
import { MambaError, philoxRandom, type TrainingBackend } from '@mamba-ts/tensor';
import {
  type BatchSource,
  initialParameters,
  parameterSource,
  stepsFor,
  type Team,
  TIMED_STEPS,
  TrainableModel,
  Trainer,
} from '@mamba-ts/train';
import { TASK_MODELS, type TaskModelName, type TaskModelSize } from './models.ts';
import type { TaskReport, TaskResult, TaskTest } from './report.ts';
import { exampleOf, type SyntheticTask, TASKS, type TaskName } from './tasks.ts';
import { rightAnswers } from './test.ts';

/** A training of each model and its tests. */
export interface TaskSettings extends TaskModelSize {
  /** Of the longest sequences to learn from, as the task counts it. */
  readonly length: number;
  /** Of the shortest: each step has sequences of one length, drawn from `from` to `length`. */
  readonly from: number;
  /** Sequences of a step. */
  readonly batch: number;
  readonly steps: number;
  /** The learning rate at its peak. */
  readonly rate: number;
  /** Lengths to test at, beside `length`. */
  readonly testLengths: readonly number[];
}

/** A setting for each task in which two cores train all models in minutes. */
export const TASK_SETTINGS: Readonly<Record<TaskName, TaskSettings>> = {
  'selective-copying': {
    length: 64,
    from: 8,
    batch: 16,
    steps: 5000,
    rate: 7e-3,
    width: 32,
    layers: 2,
    testLengths: [],
  },
  'induction-heads': {
    length: 64,
    from: 64,
    batch: 16,
    steps: 1000,
    rate: 7e-3,
    width: 32,
    layers: 2,
    testLengths: [256, 1024, 4096, 16_384],
  },
  parity: {
    length: 32,
    from: 32,
    batch: 16,
    steps: 1000,
    rate: 5e-3,
    width: 32,
    layers: 1,
    testLengths: [64, 128, 256, 512, 1024],
  },
};

/** Who computes, and how to follow it. */
export interface TaskHooks {
  /** Tests, and trains unless there is a team. */
  readonly backend: TrainingBackend;
  /** Who computes the gradients of a model; `backend` where left out. The same bits either way. */
  readonly team?: (
    config: Readonly<Record<string, unknown>>,
    values: ReadonlyMap<string, Float32Array>,
  ) => Promise<Team>;
  /** Trains for so many minutes in all, an equal share for each model, in place of `steps`. */
  readonly minutes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each step of a training; `steps` is null while they are timed. */
  readonly onStep?: (model: TaskModelName, step: number, steps: number | null, loss: number) => void;
  /** Called before each test. */
  readonly onTest?: (model: TaskModelName, length: number) => void;
  /** Called within a test: how much of it is done, from 0 to 1. */
  readonly onTested?: ((share: number) => void) | undefined;
  /** Called when a model is done. */
  readonly onResult?: (result: TaskResult) => void;
}

/** Sequences of a test: fewer would tell little, more no more. */
const TEST_SEQUENCES = { least: 16, most: 256 };
/** Operations that a test takes, as far as `least` allows; one that takes more than `most` for those is left out. */
const TEST_OPERATIONS = { meant: 3e10, most: 1e12 };
/** Steps in which the learning rate rises. */
const WARMUP = 40;
/** Steps over whose losses `loss` is the mean. */
const RECENT = 50;

/**
 * Trains each model on the task and tests it, one after another. The weights and with them all figures but the seconds are
 * a function of task, settings and seed; with `minutes`, also of the number of steps that it fixes. Throws `ARGUMENT` for a
 * length that the task does not have, what the trainer throws, and the signal's reason.
 */
export async function runTask(
  name: TaskName,
  models: readonly TaskModelName[],
  settings: TaskSettings,
  seed: number,
  hooks: TaskHooks,
): Promise<TaskReport> {
  const task = TASKS[name];
  const lengths = [...new Set([settings.length, ...settings.testLengths])].sort((a, b) => a - b);
  const shortest = Math.min(settings.from, ...lengths);
  if (shortest < task.shortest) {
    throw new MambaError('ARGUMENT', `${name} needs a length of at least ${task.shortest}, found ${shortest}`);
  }
  const { testLengths: _, steps: __, ...kept } = settings;
  const minutes = hooks.minutes === undefined ? null : hooks.minutes / models.length;
  const results: TaskResult[] = [];
  for (const model of models) {
    const result = await runModel(task, model, settings, lengths, minutes, seed, hooks);
    hooks.onResult?.(result);
    results.push(result);
  }
  return { task: name, ...kept, seed, chance: task.chance, models: results };
}

async function runModel(
  task: SyntheticTask,
  name: TaskModelName,
  settings: TaskSettings,
  lengths: readonly number[],
  minutes: number | null,
  seed: number,
  { backend, team, signal, onStep, onTest, onTested }: TaskHooks,
): Promise<TaskResult> {
  const config = TASK_MODELS[name](task.vocabSize, settings);
  const architecture = await findArchitecture(config);
  const definition = architecture.createModel(architecture.parseConfig(config));
  const values = initialParameters(definition.parameters, seed);
  const model = await TrainableModel.create(definition, values, backend);
  let steps = minutes === null ? settings.steps : null;
  const trainer = new Trainer(
    model,
    batchesOf(task, settings, seed),
    steps,
    {
      sequences: settings.batch,
      length: settings.length,
      separator: null,
      seed,
      rate: settings.rate,
      warmup: steps === null ? WARMUP : Math.min(WARMUP, steps),
      shape: 'cosine',
      floor: 0.05,
      adamw: { weightDecay: 0.01 },
    },
    await team?.(config, values),
  );
  try {
    const losses: number[] = [];
    const started = performance.now();
    const seconds = (): number => (performance.now() - started) / 1000;
    while (steps === null || trainer.step < steps) {
      const { nats_per_token } = await trainer.advance(signal);
      losses.push(nats_per_token);
      if (steps === null && trainer.step === TIMED_STEPS) {
        steps = stepsFor(minutes!, seconds() / TIMED_STEPS, WARMUP);
        trainer.planFor(steps);
      }
      onStep?.(name, trainer.step, steps, nats_per_token);
    }
    const trained = seconds();
    const recent = losses.slice(-RECENT);
    const tests: TaskTest[] = [];
    const loaded = await loadLanguageModel(architecture, config, parameterSource(model), backend);
    try {
      for (const length of lengths) {
        const sequences = testSequences(loaded.operations(exampleOf(task, length, seed, 0).ids.length));
        if (sequences === 0) continue;
        onTest?.(name, length);
        const accuracy = await rightAnswers(loaded, task, length, seed, sequences, { signal, onTested });
        tests.push({ length, sequences, accuracy });
      }
    } finally {
      loaded.dispose();
    }
    return {
      model: name,
      params: [...values.values()].reduce((sum, { length }) => sum + length, 0),
      steps: trainer.step,
      seconds: trained,
      loss: recent.reduce((sum, loss) => sum + loss, 0) / recent.length,
      accuracy: tests.find(({ length }) => length === settings.length)?.accuracy ?? null,
      by_length: tests,
    };
  } finally {
    trainer.dispose();
    model.dispose();
  }
}

/** How many sequences of so many operations each a test has; 0 where it is left out. */
export function testSequences(operations: number): number {
  const { least, most } = TEST_SEQUENCES;
  if (least * operations > TEST_OPERATIONS.most) return 0;
  return Math.max(least, Math.min(most, Math.floor(TEST_OPERATIONS.meant / operations)));
}

/** Batch `pass`: examples of one length that no other pass has. */
function batchesOf(task: SyntheticTask, { batch, from, length }: TaskSettings, seed: number): BatchSource {
  const random = philoxRandom(seed);
  return (pass, slots) => {
    // Counted down from the last number there is: no example comes so far.
    const own = from + Math.floor(random(Number.MAX_SAFE_INTEGER - pass) * (length - from + 1));
    const examples = Array.from({ length: batch }, (_, i) => exampleOf(task, own, seed, pass * batch + i));
    const tokens = examples[0]!.ids.length;
    const ids = new Int32Array(batch * tokens);
    const targets = new Int32Array(batch * tokens);
    for (const [i, example] of examples.entries()) {
      ids.set(example.ids, i * tokens);
      targets.set(example.targets, i * tokens);
    }
    const segments = slots.map((slot, i) => ({ start: i * tokens, length: tokens, slot, reset: true, position: 0 }));
    return { ids, targets, segments };
  };
}
