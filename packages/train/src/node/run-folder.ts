import { appendFile, mkdir, open, readdir, readFile, rm, truncate } from 'node:fs/promises';
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

  /**
   * Throws `RUN_EXISTS` where a new run would overwrite something: a run that has done a step, or a model. A run that failed
   * before its first step is in nobody's way.
   */
  async checkFree(): Promise<void> {
    const held = await readdir(this.path).catch(() => [] as string[]);
    const begun = held.includes('log.jsonl') || (await this.#checkpoints()).length > 0;
    const weights = held.find((name) => /\.(?:safetensors|gguf|bin)$/i.test(name));
    const model = weights ?? (held.includes('run.json') ? undefined : held.find((name) => name === 'config.json'));
    if (!begun && model === undefined) return;
    throw new MambaError(
      'RUN_EXISTS',
      held.includes('run.json')
        ? `${this.path} holds a run already: --resume goes on with it, or name another folder`
        : `${this.path} holds ${model ?? 'the checkpoints of a run'}, and a run would write over it: name another folder`,
      { folder: this.path },
    );
  }

  /** Makes the folder for a new run. Throws what `checkFree` throws. */
  async create(plan: RunPlan, files: Readonly<Record<string, string>>): Promise<void> {
    await this.checkFree();
    await mkdir(join(this.path, 'checkpoints'), { recursive: true });
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
    // What the checkpoint counts of the log is on the disk before it.
    await flush(join(this.path, 'log.jsonl'));
    const path = join(this.path, 'checkpoints', `step-${String(position.step).padStart(8, '0')}.safetensors`);
    await saveSafetensors(path, trainer.tensors(), { position: JSON.stringify(position) });
    for (const old of (await this.#checkpoints()).slice(0, -keep)) await rm(join(this.path, 'checkpoints', old));
  }

  /**
   * Puts a trainer where the newest checkpoint stands; null where there is none yet. The log ends there, too: what came after it
   * happens again. Throws `RUN_FORMAT`.
   */
  async restore(trainer: Trainer): Promise<RunPosition | null> {
    const log = join(this.path, 'log.jsonl');
    const newest = (await this.#checkpoints()).at(-1);
    if (!newest) {
      await rm(log, { force: true });
      return null;
    }
    const file = await openSafetensors(await openFile(join(this.path, 'checkpoints', newest)));
    const position = JSON.parse(file.metadata.get('position') ?? 'null') as RunPosition | null;
    if (!Number.isSafeInteger(position?.step)) {
      throw new MambaError('RUN_FORMAT', `checkpoints/${newest} does not say where its run stands`);
    }
    await trainer.restore(position!.step, safetensorsWeights([file]));
    await truncate(log, position!.logBytes).catch(() => {});
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
    const held = await readdir(join(this.path, 'checkpoints')).catch(() => [] as string[]);
    return held.filter((name) => CHECKPOINT.test(name)).sort();
  }
}

async function flush(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
