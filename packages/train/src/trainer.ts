import { type CheckpointSource, storedShape, type TensorToWrite } from '@mamba-ts/loaders';
import { createPause, MambaError, readToF32, type Slot } from '@mamba-ts/tensor';
import { AdamW, type AdamWOptions } from './adamw.ts';
import { type Batch, countTargets } from './batch.ts';
import { clipScale, globalNorm } from './clip.ts';
import { type BatchShape, type BatchSource, documents, drawBatch, type TokenSource } from './data.ts';
import { updateAverage } from './ema.ts';
import { type ScheduleOptions, schedule } from './schedule.ts';
import { addGradients, localTeam, type Share, sharesOf, type Team } from './share.ts';
import { Tape } from './tape.ts';
import type { Trainable } from './trainable.ts';

/** How to train. */
export interface TrainingOptions extends BatchShape, Omit<ScheduleOptions, 'steps'> {
  /** Everything random in the run is a function of it. */
  readonly seed: number;
  /** The learning rate at its peak. */
  readonly rate: number;
  /** Passes whose gradients are added up for one step; 1 unless told otherwise. */
  readonly accumulate?: number;
  /** Gradients are scaled down to this global norm; 1 unless told otherwise. */
  readonly maxNorm?: number;
  /** Share of each residual branch that is dropped; none unless told otherwise. */
  readonly dropout?: number;
  /** Keeps a moving average of the weights, which `evaluate` takes; none unless told otherwise. */
  readonly averageDecay?: number;
  readonly adamw?: AdamWOptions;
}

/** What one step tells. */
export interface StepReport {
  /** Of the run, from 1. */
  readonly step: number;
  /** Mean over the targets of the step, with dropout. */
  readonly nats_per_token: number;
  /** Of all gradients, before clipping. */
  readonly gradient_norm: number;
  readonly rate: number;
  /** Read in the step. */
  readonly tokens: number;
}

/** Into so many parts at most a pass is cut, whoever computes them: the order of sums must not depend on that. */
const SHARES = 4;
/** Dropout draws with a key of its own. */
const DROPOUT_KEY = 1;

/**
 * A training run: batches, gradients, AdamW. Its state is the parameters, the moments, the average and the number of the
 * step, all of which `tensors` gives and `restore` takes: a run that goes on from them gives the same bits as one that
 * was never interrupted.
 */
export class Trainer {
  readonly model: Trainable;
  readonly #draw: BatchSource;
  readonly #options: TrainingOptions;
  readonly #optimizer: AdamW;
  readonly #average: ReadonlyMap<string, Float32Array> | null;
  readonly #team: Team;
  /** Stand for the sequences of a batch: those who compute it have slots of their own. */
  readonly #sequences: readonly Slot[];
  #rateOf: (step: number) => number;

  /**
   * `steps`: of the whole run, for the schedule; null while it is not known: then no step may lie beyond the warm-up. `team`
   * computes the gradients; left out, this thread does. `data`: a text to draw pieces of, or what makes the batches.
   */
  constructor(
    model: Trainable,
    data: TokenSource | BatchSource,
    steps: number | null,
    options: TrainingOptions,
    team: Team = localTeam(model),
  ) {
    this.#team = team;
    this.model = model;
    this.#draw =
      typeof data === 'function'
        ? data
        : (pass, slots, signal) => drawBatch(data, options, options.seed, pass, slots, signal);
    this.#options = options;
    this.#optimizer = new AdamW(
      [...model.parameters.values()].map(({ spec }) => spec),
      options.adamw,
    );
    this.#average =
      options.averageDecay === undefined
        ? null
        : new Map([...model.parameters].map(([name, { values }]) => [name, values.slice()]));
    this.#sequences = Array.from({ length: options.sequences }, () => ({ length: 0, caches: [], rows: 0, bytes: 0 }));
    this.#rateOf = (step) => {
      if (step <= options.warmup) return step / options.warmup;
      throw new MambaError('ARGUMENT', `step ${step} lies beyond the warm-up, but the steps of the run are not known`);
    };
    if (steps !== null) this.planFor(steps);
  }

  /** Steps done. */
  get step(): number {
    return this.#optimizer.step;
  }

  /** Says how many steps the run will have, which the learning rate depends on. Throws `ARGUMENT` for too few. */
  planFor(steps: number): void {
    this.#rateOf = schedule({ ...this.#options, steps });
  }

  /** One step. Throws `TRAIN_DATA`, `TRAIN_DIVERGED` for a loss that is no number, and the signal's reason. */
  async advance(signal?: AbortSignal): Promise<StepReport> {
    const { accumulate = 1, maxNorm = 1, dropout = 0, averageDecay, seed } = this.#options;
    const { model } = this;
    const batches: Batch[] = [];
    for (let i = 0; i < accumulate; i++) {
      signal?.throwIfAborted();
      batches.push(await this.#draw(this.step * accumulate + i, this.#sequences, signal));
    }
    const targets = batches.reduce((sum, batch) => sum + countTargets(batch), 0);
    let nats = 0;
    let gradients: ReadonlyMap<string, Float32Array> | null = null;
    for (const [i, batch] of batches.entries()) {
      const pass = this.step * accumulate + i;
      const mask = (share: number): Share['dropout'] =>
        dropout > 0 ? { rate: dropout, seed: seed + DROPOUT_KEY, step: pass * SHARES + share } : undefined;
      let results = await this.#team.run(sharesOf(batch, SHARES, 1 / targets, mask), signal);
      for (const result of results) nats += result.nats;
      if (gradients === null) {
        // Those of a pass hold until the next one.
        const first = results[0]!.gradients;
        gradients = accumulate === 1 ? first : new Map([...first].map(([name, values]) => [name, values.slice()]));
        results = results.slice(1);
      }
      addGradients(gradients, results);
    }
    signal?.throwIfAborted();
    const norm = globalNorm(gradients!.values());
    if (!Number.isFinite(nats) || !Number.isFinite(norm)) {
      throw new MambaError(
        'TRAIN_DIVERGED',
        `in step ${this.step + 1} the loss is ${nats / targets} and the gradients have the norm ${norm}: lower the learning rate`,
      );
    }
    const rate = this.#options.rate * this.#rateOf(this.step + 1);
    // From here to the end nothing waits: a step is whole or has not begun.
    for (const [name, { values }] of model.parameters) {
      this.#optimizer.update(name, values, gradients!.get(name)!, rate, clipScale(norm, maxNorm));
      if (this.#average) updateAverage(this.#average.get(name)!, values, averageDecay!);
    }
    this.#handWeightsOver();
    this.#optimizer.step++;
    const tokens = batches.reduce((sum, { ids }) => sum + ids.length, 0);
    return { step: this.step, nats_per_token: nats / targets, gradient_norm: norm, rate, tokens };
  }

  /**
   * Nats per token of a text without dropout, from the moving average of the weights where there is one: the text is cut
   * into pieces of `length` tokens, each from a fresh state, and every token but the first is scored. Throws `TRAIN_DATA`
   * where there is none to score, and the signal's reason.
   */
  async evaluate(text: TokenSource, length = 512, signal?: AbortSignal): Promise<number> {
    checkValidation(text);
    const { model } = this;
    const { backend } = model;
    const slot = backend.createSlot(model.definition.state.length, model.definition.state.caches);
    backend.reserveRows(slot, length);
    const pause = createPause();
    let nats = 0;
    this.#exchangeAverage();
    try {
      for (let start = 0; start < text.length - 1; start += length) {
        await pause();
        signal?.throwIfAborted();
        const piece = await text.read(start, Math.min(start + length + 1, text.length), signal);
        const ids = piece.slice(0, -1);
        const tape = new Tape(backend);
        const segments = documents(ids, 0, this.#options.separator, slot);
        const losses = model.losses(tape, { ids, targets: piece.slice(1), segments });
        nats += (await backend.read(tape.value(losses))).reduce((sum, value) => sum + value, 0);
        tape.dispose();
        backend.endStep();
      }
    } finally {
      this.#exchangeAverage();
      backend.freeSlot(slot);
    }
    return nats / (text.length - 1);
  }

  /** What was trained, by name: the average where there is one. */
  values(): ReadonlyMap<string, Float32Array> {
    return this.#average ?? new Map([...this.model.parameters].map(([name, { values }]) => [name, values]));
  }

  /** The same for a file. */
  weights(): TensorToWrite[] {
    return [...this.values()].map(([name, values]) => ({
      name,
      dtype: 'f32',
      shape: storedShape(this.model.parameters.get(name)!.spec),
      data: bytesOf(values),
    }));
  }

  /** All that the run remembers but its step, as tensors: `weights.NAME`, `first.NAME`, `second.NAME`, `average.NAME`. */
  tensors(): TensorToWrite[] {
    return [...this.#remembered()].map(([name, { shape, values }]) => ({
      name,
      dtype: 'f32',
      shape,
      data: bytesOf(values),
    }));
  }

  /** Goes on from what `tensors` gave after step `step`. Throws `MISSING_TENSOR` or `TENSOR_SHAPE` for another run's. */
  async restore(step: number, saved: CheckpointSource): Promise<void> {
    for (const [name, { values }] of this.#remembered()) {
      const entry = saved.entries.get(name);
      if (!entry || entry.byteLength !== values.byteLength || entry.dtype !== 'f32') {
        throw new MambaError(
          entry ? 'TENSOR_SHAPE' : 'MISSING_TENSOR',
          `the saved run does not fit this one: tensor "${name}" is ${entry ? 'of another shape' : 'missing'}. Resume with ` +
            'the options that it was begun with',
          { tensor: name },
        );
      }
      values.set(await readToF32(saved, name));
    }
    this.#handWeightsOver();
    this.#optimizer.step = step;
  }

  /** Ends the team; the model stays. */
  dispose(): void {
    this.#team.dispose();
  }

  /** To the team first, which takes them over while this thread does. */
  #handWeightsOver(): void {
    this.#team.update(new Map([...this.model.parameters].map(([name, { values }]) => [name, values])));
    for (const name of this.model.parameters.keys()) this.model.update(name);
  }

  *#remembered(): Iterable<[string, { readonly shape: readonly number[]; readonly values: Float32Array }]> {
    for (const [name, { spec, values }] of this.model.parameters) {
      const { shape } = spec;
      const { first, second } = this.#optimizer.moments.get(name)!;
      yield [`weights.${name}`, { shape, values }];
      yield [`first.${name}`, { shape, values: first }];
      yield [`second.${name}`, { shape, values: second }];
      if (this.#average) yield [`average.${name}`, { shape, values: this.#average.get(name)! }];
    }
  }

  /** Exchanges the weights for their average; a second time, back. */
  #exchangeAverage(): void {
    if (!this.#average) return;
    for (const [name, average] of this.#average) {
      const { values } = this.model.parameters.get(name)!;
      for (let i = 0; i < values.length; i++) [values[i], average[i]] = [average[i]!, values[i]!];
      this.model.update(name);
    }
  }
}

/** Throws `TRAIN_DATA` for a text without a token to score. */
export function checkValidation({ length }: TokenSource): void {
  if (length >= 2) return;
  throw new MambaError(
    'TRAIN_DATA',
    `the text that is kept apart for validation has ${length} tokens, at least 2 are needed: keep a larger part of the text ` +
      'apart, or give more text',
    { tokens: length },
  );
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
