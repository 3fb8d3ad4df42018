import { findArchitecture } from '@mamba-ts/layers';
import { jsonText, writeSafetensors } from '@mamba-ts/loaders';
import { createPause } from '@mamba-ts/tensor';
import { Tokenizer, trainTokenizer } from '@mamba-ts/tokenizer';
import { initialParameters, memoryTokens, splitText, TrainableModel, Trainer } from '@mamba-ts/train';
import { createTrainingBackend, fromPretrained, MambaError } from 'mamba-ts';
import {
  filesOf,
  type TrainCheck,
  type TrainedFiles,
  type TrainMessage,
  type TrainRequest,
  type Wish,
} from './messages.ts';
import { batches, shapeOf, VOCABULARY } from './shapes.ts';

const SEPARATOR = '<|endoftext|>';
const SEED = 1;
const WARMUP = 20;
/** Of the text: what the model is asked about, but never learns from. */
const VALIDATION_SHARE = 0.1;
/** Of that, tokens in one look. */
const VALIDATION_TOKENS = 2048;
/** Characters of a text that has something to learn, and of one that a tab takes. */
export const TEXT_LIMITS = { least: 2000, most: 4_000_000 } as const;
/** Tokens of a sample. */
const SAMPLE_TOKENS = 120;

/** Turns what the page wants into something that a run can look at, and wait for. */
export class WishBox {
  #wish: Wish = 'go';
  #changed = Promise.withResolvers<void>();

  get current(): Wish {
    return this.#wish;
  }

  set(wish: Wish): void {
    this.#wish = wish;
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Until the next wish. */
  changed(): Promise<void> {
    return this.#changed.promise;
  }
}

/**
 * Trains a model on a text for so many minutes of work: learns a vocabulary, then steps, with a look at the validation
 * text and a sample every few seconds. Pauses and ends early as `wishes` says. The files are those of the look with the
 * lowest validation loss. Throws `TRAIN_DATA` for a text too short or too long, `TRAIN_TEXT` for a file that is no text,
 * `TRAIN_DIVERGED`.
 */
export async function train(
  request: TrainRequest,
  wishes: WishBox,
  say: (message: TrainMessage) => void,
): Promise<void> {
  const { model: kind, size, minutes, rate } = request;
  say({ kind: 'preparing', share: 0 });
  const text = await readText(request.text);
  const { json: tokenizerJson, training, validation } = tokenize(text, (share) => say({ kind: 'preparing', share }));
  const { sequences, length } = batches[size];
  if (training.length <= length || validation.length < 2) {
    throw new MambaError(
      'TRAIN_DATA',
      `The text is only ${training.length} tokens long to the model, but ${length + 1} are needed: it repeats itself too much.`,
    );
  }

  const vocabSize = Object.keys(tokenizerJson.model.vocab).length;
  const shape = { ...shapeOf(kind, size), vocab_size: vocabSize, bos_token_id: 0, eos_token_id: 0 };
  const architecture = await findArchitecture(shape);
  const config = architecture.huggingFaceConfig!(shape);
  const definition = architecture.createModel(architecture.parseConfig(config));
  const values = initialParameters(definition.parameters, SEED);
  const model = await TrainableModel.create(definition, values, await createTrainingBackend());
  const trainer = new Trainer(model, memoryTokens(training), null, {
    ...{ sequences, length, separator: null, seed: SEED, rate, warmup: WARMUP },
    ...{ shape: 'cosine', floor: 0.1 },
  });
  const parameters = [...values.values()].reduce((sum, { length }) => sum + length, 0);
  const tokens = training.length + validation.length;
  say({ kind: 'begun', facts: { parameters, characters: text.length, tokens, vocabSize } });

  const files = { 'config.json': jsonText(config), 'tokenizer.json': JSON.stringify(tokenizerJson) };
  const asked = memoryTokens(validation.subarray(0, VALIDATION_TOKENS));
  const prompt = /\S{1,16}/.exec(text)![0];
  let best: { readonly validation: number; readonly files: TrainedFiles } | null = null;
  let looked = -1;
  const check = async (): Promise<void> => {
    if (trainer.step === looked) return;
    looked = trainer.step;
    const validation = await trainer.evaluate(asked, length);
    const now = { ...files, 'model.safetensors': await bytesOf(writeSafetensors(trainer.weights(), { format: 'pt' })) };
    if (best === null || validation < best.validation) best = { validation, files: now };
    const written = await sample(now, prompt, trainer.step);
    say({ kind: 'check', check: { step: trainer.step, validation, prompt, written } satisfies TrainCheck });
  };

  const budget = 60 * minutes;
  const [reportEvery, checkEvery] = [Math.min(2, Math.max(0.25, budget / 240)), Math.min(10, Math.max(2, budget / 20))];
  const turn = createPause();
  await check();
  const clock = new WorkClock();
  let [reported, checked] = [0, 0];
  let losses: number[] = [];
  let steps = Number.POSITIVE_INFINITY;
  while (trainer.step < steps && wishes.current !== 'stop') {
    losses.push((await trainer.advance()).nats_per_token);
    const seconds = clock.seconds();
    if (trainer.step >= WARMUP) {
      // By the pace so far, the looks among it: the learning rate falls to its floor when the time is over.
      steps = trainer.step + Math.max(0, Math.round(((budget - seconds) * trainer.step) / seconds));
      trainer.planFor(Math.max(steps, trainer.step + 1));
    }
    await turn();
    if (seconds - reported >= reportEvery || trainer.step >= steps || wishes.current !== 'go') {
      const loss = losses.reduce((sum, value) => sum + value, 0) / losses.length;
      const tokensPerSecond = (losses.length * sequences * length) / (seconds - reported);
      const secondsLeft = Math.max(0, budget - seconds);
      const tokens = trainer.step * sequences * length;
      say({ kind: 'progress', progress: { step: trainer.step, tokens, loss, tokensPerSecond, secondsLeft } });
      [reported, losses] = [seconds, []];
    }
    const pausing = wishes.current === 'pause';
    if (pausing || clock.seconds() - checked >= checkEvery) {
      await check();
      checked = clock.seconds();
      reported = checked;
      losses = [];
    }
    if (pausing) {
      clock.stop();
      say({ kind: 'paused', files: best!.files });
      while (wishes.current === 'pause') await wishes.changed();
      clock.start();
    }
  }
  await check();
  say({ kind: 'done', files: best!.files });
}

/** Seconds of work. */
class WorkClock {
  #before = 0;
  #since = performance.now();

  seconds(): number {
    return this.#before + (performance.now() - this.#since) / 1000;
  }

  stop(): void {
    this.#before = this.seconds();
  }

  start(): void {
    this.#since = performance.now();
  }
}

async function readText(given: string | Blob): Promise<string> {
  const [least, most] = [TEXT_LIMITS.least.toLocaleString('en-US'), TEXT_LIMITS.most.toLocaleString('en-US')];
  const tooLong = (): never => {
    throw new MambaError('TRAIN_DATA', `The text is too long for a tab, which learns from ${most} characters at most.`);
  };
  let text = given;
  if (typeof text !== 'string') {
    if (text.size > 4 * TEXT_LIMITS.most) tooLong();
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(await text.arrayBuffer());
    } catch {
      throw new MambaError('TRAIN_TEXT', 'The file is no text in UTF-8.');
    }
  }
  if (text.length > TEXT_LIMITS.most) tooLong();
  if (text.trim().length < TEXT_LIMITS.least) {
    const found = text.trim() === '' ? 'is empty' : `has ${text.trim().length.toLocaleString('en-US')} characters`;
    throw new MambaError('TRAIN_DATA', `The text ${found}, but there is nothing to learn below ${least}.`);
  }
  return text;
}

/** The vocabulary of the training part, and both parts in its tokens. */
function tokenize(text: string, onProgress: (share: number) => void) {
  const [training, validation] = splitText(text, VALIDATION_SHARE);
  const json = trainTokenizer([training], {
    vocabSize: VOCABULARY,
    specialTokens: [SEPARATOR],
    onProgress: (done, total) => onProgress(done / total),
  }) as { readonly model: { readonly vocab: Readonly<Record<string, number>> } };
  const tokenizer = Tokenizer.fromJSON(JSON.stringify(json));
  const ids = (part: string): Int32Array => Int32Array.from(tokenizer.encode(part));
  return { json, training: ids(training), validation: ids(validation) };
}

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const all: BlobPart[] = [];
  for await (const piece of pieces) all.push(piece.slice());
  return new Uint8Array(await new Blob(all).arrayBuffer());
}

/** What the model writes, by way of the files that a visitor would get. */
async function sample(files: TrainedFiles, prompt: string, seed: number): Promise<string> {
  const model = await fromPretrained(filesOf(files), { worker: false, threads: 1 });
  try {
    return (await model.generate(prompt, { maxTokens: SAMPLE_TOKENS, temperature: 0.8, topP: 0.95, seed })).text;
  } finally {
    await model.dispose();
  }
}
