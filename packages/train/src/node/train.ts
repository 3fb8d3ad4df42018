import type { Architecture, ConfigJson } from '@mamba-ts/layers';
import { MambaError, type TrainingBackend } from '@mamba-ts/tensor';
import type { TokenSource } from '../data.ts';
import { initialParameters } from '../initial.ts';
import type { ParameterValues } from '../model.ts';
import { stepsFor, TIMED_STEPS } from '../schedule.ts';
import type { Team } from '../share.ts';
import { checkValidation, Trainer, type TrainingOptions } from '../trainer.ts';
import { createTrainable, type Tuning } from '../tuning.ts';
import type { LogLine, RunFolder, RunPlan, RunPosition } from './run-folder.ts';

/** A run, ready to be begun or gone on with. */
export interface TrainingRun {
  readonly folder: RunFolder;
  readonly plan: RunPlan;
  readonly architecture: Architecture;
  readonly config: ConfigJson;
  readonly backend: TrainingBackend;
  /** A trained model to begin with, and what of it is trained on; left out, all of a model of random weights is trained. */
  readonly tuned?: TunedModel | undefined;
  /** Who computes the gradients, given the values to begin with; this thread where left out. The same bits either way. */
  readonly team?: ((values: ReadonlyMap<string, Float32Array>) => Promise<Team>) | undefined;
  readonly training: TokenSource;
  readonly validation: TokenSource;
  readonly options: TrainingOptions;
  /** Sets the number of steps where the plan has none: so many minutes, by the time that the first steps take. */
  readonly minutes: number | null;
  /** Steps between two evaluations. */
  readonly evalEvery: number;
  /** Steps between two checkpoints. */
  readonly saveEvery: number;
  /** Checkpoints that are kept. */
  readonly keep: number;
}

/** A model that a run goes on from. */
export interface TunedModel {
  /** Its weights, as a file holds them. */
  readonly base: ParameterValues;
  readonly tuning: Tuning;
  /** Keeps what was trained, in place of `RunFolder.saveModel`. */
  readonly save: (trainer: Trainer) => Promise<void>;
}

/** How to follow a run. */
export interface TrainingHooks {
  readonly signal?: AbortSignal;
  /** Called once, with the steps that earlier parts of the run have done. */
  readonly onStart?: (log: readonly LogLine[]) => void;
  /** Called after each step; `steps` is null while it is not fixed. */
  readonly onStep?: (line: LogLine, steps: number | null) => void;
}

/** What a run came to. */
export interface TrainingResult {
  readonly steps: number;
  /** Read in all steps. */
  readonly tokens: number;
  /** Of work, in all parts of the run. */
  readonly seconds: number;
  readonly tok_s: number;
  /** Mean of the last steps, at most 50, with dropout. Nats per token. */
  readonly train_loss: number;
  /** Of what was saved: the best of all evaluations. Nats per token. */
  readonly val_loss: number;
  /** Before the first step, of a tuned model. Nats per token. */
  readonly val_loss_before?: number;
  /** Numbers that were trained. */
  readonly params: number;
}

/**
 * Runs to its end, from the newest checkpoint where there is one: the same bits as without interruption. Throws what the
 * trainer and the folder throw, and the signal's reason, after which the run can be resumed from the last checkpoint.
 */
export async function train(run: TrainingRun, hooks: TrainingHooks = {}): Promise<TrainingResult> {
  const { folder, architecture, config, backend, tuned, options, minutes, evalEvery, saveEvery, keep } = run;
  const { signal, onStart, onStep } = hooks;
  checkValidation(run.validation);
  const definition = architecture.createModel(architecture.parseConfig(config));
  const values = tuned?.base ?? initialParameters(definition.parameters, options.seed);
  const model = await createTrainable(definition, values, backend, tuned?.tuning);
  const save = tuned?.save ?? ((trainer) => folder.saveModel(trainer));
  // No position is scored that no step has trained, which counts where a model knows positions.
  const window = Math.min(512, options.length);
  let { steps } = run.plan;
  let team: Team | undefined;
  let trainer: Trainer | undefined;
  try {
    team = await run.team?.(values);
    trainer = new Trainer(model, run.training, steps, options, team);
    const started = performance.now();
    let position: RunPosition = (await folder.restore(trainer)) ?? { step: 0, seconds: 0, best: null, logBytes: 0 };
    const earlier = position.seconds;
    const seconds = (): number => earlier + (performance.now() - started) / 1000;
    if (tuned && position.step === 0) {
      // Whoever tunes wants to know from where; and where nothing gets better, the model as it was is the best.
      const best = await trainer.evaluate(run.validation, window, signal);
      await save(trainer);
      position = { ...position, best, before: best };
    }
    const log = await folder.readLog();
    onStart?.(log);
    const recent = log.slice(-50).map(({ nats_per_token }) => nats_per_token);
    // Of steps alone: what is done once, or now and then, does not say how many fit.
    let stepSeconds = 0;
    while (steps === null || trainer.step < steps) {
      signal?.throwIfAborted();
      const begun = performance.now();
      const report = await trainer.advance(signal);
      stepSeconds += (performance.now() - begun) / 1000;
      recent.push(report.nats_per_token);
      if (recent.length > 50) recent.shift();
      if (steps === null && trainer.step === TIMED_STEPS) {
        steps = stepsFor(minutes!, stepSeconds / TIMED_STEPS, options.warmup + (options.decay ?? 0));
        trainer.planFor(steps);
        await folder.savePlan({ ...run.plan, steps });
      }
      const last = trainer.step === steps;
      let line: LogLine = report;
      let { best } = position;
      if (last || trainer.step % evalEvery === 0) {
        line = { ...report, val_loss: await trainer.evaluate(run.validation, window, signal) };
        if (best === null || line.val_loss! < best) {
          best = line.val_loss!;
          await save(trainer);
        }
      }
      const logBytes = position.logBytes + (await folder.log([line]));
      position = { ...position, step: trainer.step, seconds: seconds(), best, logBytes };
      if (last || trainer.step % saveEvery === 0 || trainer.step === TIMED_STEPS)
        await folder.saveCheckpoint(trainer, position, keep);
      onStep?.(line, steps);
    }
    if (position.best === null) {
      throw new MambaError('TRAIN_DATA', `a run of ${steps} steps has nothing to show: give at least one`);
    }
    const tokens = trainer.step * (options.accumulate ?? 1) * options.sequences * options.length;
    return {
      steps: trainer.step,
      tokens,
      seconds: position.seconds,
      tok_s: tokens / position.seconds,
      train_loss: recent.reduce((sum, loss) => sum + loss, 0) / recent.length,
      val_loss: position.best,
      ...(position.before === undefined ? {} : { val_loss_before: position.before }),
      params: [...model.parameters.values()].reduce((sum, { values }) => sum + values.length, 0),
    };
  } finally {
    (trainer ?? team)?.dispose();
    model.dispose();
  }
}
