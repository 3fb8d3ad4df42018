import { appendFile, mkdir, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensors, safetensorsWeights } from '@mamba-ts/loaders';
import { openFile, saveFile, saveSafetensors } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import type { StepReport, Trainer } from '../trainer.ts';

/** What run.json holds: all that a run depends on, so that `--resume` needs nothing else. */
export interface RunPlan {
  readonly version: 1;
  /** What the command was told, as it was understood. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Steps of the run; null until `--minutes` has fixed them. */
  readonly steps: number | null;
}

/** Where a run stands, beside its tensors. */
export interface RunPosition {
  readonly step: number;
  /** Seconds of work in all parts of the run. */
  readonly seconds: number;
  /** The lowest validation loss so far, of which the saved model is; null before the first. */
  readonly best: number | null;
  /** The validation loss before the first step, of a tuned model. */
  readonly before?: number;
  /** Bytes of log.jsonl. */
  readonly logBytes: number;
}

/** One line of log.jsonl: a step, with the validation loss where it was measured behind it. */
export interface LogLine extends StepReport {
  readonly val_loss?: number;
}

const CHECKPOINT = /^step-(\d+)\.safetensors$/;

/**
 * The folder of a run: model.safetensors with config.json and tokenizer.json (a model that anything loads), run.json,
 * log.jsonl, and checkpoints/step-N.safetensors. Every file is written aside, flushed and renamed: a run may be killed
 * at any moment.
 */
export class RunFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** Makes the folder for a new run. Throws `RUN_EXISTS` where one lies there. */
  async create(plan: RunPlan, files: Readonly<Record<string, string>>): Promise<void> {
    await mkdir(join(this.path, 'checkpoints'), { recursive: true });
    if ((await readdir(this.path)).includes('run.json')) {
      throw new MambaError(
        'RUN_EXISTS',
        `${this.path} holds a run already: --resume goes on with it, or name another folder`,
        {
          folder: this.path,
        },
      );
    }
    for (const [name, text] of Object.entries(files)) await this.#save(name, text);
    await this.savePlan(plan);
  }

  /** Writes run.json anew: `--minutes` fixes the steps of a run that has begun. */
  async savePlan(plan: RunPlan): Promise<void> {
    await this.#save('run.json', `${JSON.stringify(plan, null, 2)}\n`);
  }

  /** Throws `RUN_MISSING`, and `RUN_FORMAT` for a file that is no plan. */
  async readPlan(): Promise<RunPlan> {
    let text: string;
    try {
      text = await readFile(join(this.path, 'run.json'), 'utf8');
    } catch (cause) {
      throw new MambaError('RUN_MISSING', `${this.path} holds no run to resume`, { folder: this.path }, { cause });
    }
    try {
      const plan = JSON.parse(text) as RunPlan;
      const { steps } = plan;
      if (plan.version === 1 && typeof plan.options === 'object' && (steps === null || Number.isSafeInteger(steps)))
        return plan;
    } catch {
      // The same message.
    }
    throw new MambaError('RUN_FORMAT', `${join(this.path, 'run.json')} is not the plan of a run of this version`);
  }

  /** A text file of the run. */
  read(name: string): Promise<string> {
    return readFile(join(this.path, name), 'utf8');
  }

  /** Saves where the run stands, then removes all but the newest `keep` checkpoints. */
  async saveCheckpoint(trainer: Trainer, position: RunPosition, keep: number): Promise<void> {
    const path = join(this.path, 'checkpoints', `step-${String(position.step).padStart(8, '0')}.safetensors`);
    await saveSafetensors(path, trainer.tensors(), { position: JSON.stringify(position) });
    for (const old of (await this.#checkpoints()).slice(0, -keep)) await rm(join(this.path, 'checkpoints', old));
  }

  /** Puts a trainer where the newest checkpoint stands; null where there is none yet. Throws `RUN_FORMAT`. */
  async restore(trainer: Trainer): Promise<RunPosition | null> {
    const newest = (await this.#checkpoints()).at(-1);
    if (!newest) return null;
    const file = await openSafetensors(await openFile(join(this.path, 'checkpoints', newest)));
    const position = JSON.parse(file.metadata.get('position') ?? 'null') as RunPosition | null;
    if (!Number.isSafeInteger(position?.step)) {
      throw new MambaError('RUN_FORMAT', `checkpoints/${newest} does not say where its run stands`);
    }
    await trainer.restore(position!.step, safetensorsWeights([file]));
    // What came after the checkpoint happens again.
    await truncate(join(this.path, 'log.jsonl'), position!.logBytes).catch(() => {});
    return position;
  }

  /** Writes model.safetensors: the weights as they are, or their average. */
  async saveModel(trainer: Trainer): Promise<void> {
    await saveSafetensors(join(this.path, 'model.safetensors'), trainer.weights(), { format: 'pt' });
  }

  /** The lines of log.jsonl. */
  async readLog(): Promise<LogLine[]> {
    const text = await this.read('log.jsonl').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  }

  /** Adds lines to log.jsonl and tells how many bytes they are. */
  async log(lines: readonly object[]): Promise<number> {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    await appendFile(join(this.path, 'log.jsonl'), text);
    return Buffer.byteLength(text);
  }

  #save(name: string, text: string): Promise<void> {
    return saveFile(join(this.path, name), [new TextEncoder().encode(text)]);
  }

  async #checkpoints(): Promise<string[]> {
    return (await readdir(join(this.path, 'checkpoints'))).filter((name) => CHECKPOINT.test(name)).sort();
  }
}
