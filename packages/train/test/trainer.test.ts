import { findArchitecture } from '@mamba-ts/layers';
import { memorySource, openSafetensors, safetensorsWeights, writeSafetensors } from '@mamba-ts/loaders';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import {
  type BatchSource,
  backpropagate,
  drawBatch,
  fileTokens,
  globalNorm,
  initialParameters,
  localTeam,
  memoryTokens,
  NO_TARGET,
  type TokenSource,
  TrainableModel,
  Trainer,
  type TrainingOptions,
  tokenRange,
} from '../src/index.ts';

const VOCABULARY = 11;
/** A text with a pattern to learn, and documents that begin with 0. */
const text = Int32Array.from({ length: 600 }, (_, i) => (i % 37 === 0 ? 0 : 1 + ((i * i) % 7)));
const training = memoryTokens(text.subarray(0, 500));
const validation = memoryTokens(text.subarray(500));

const OPTIONS: TrainingOptions = {
  sequences: 2,
  length: 24,
  separator: 0,
  seed: 5,
  rate: 0.02,
  warmup: 4,
  shape: 'cosine',
};

async function trainable(architecture = 'mamba'): Promise<TrainableModel> {
  const config = {
    model_type: architecture,
    vocab_size: VOCABULARY,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 16,
    max_position_embeddings: 64,
    rotary_pct: 0.5,
  };
  const found = await findArchitecture(config);
  const definition = found.createModel(found.parseConfig(config));
  return TrainableModel.create(definition, initialParameters(definition.parameters, 3), createReferenceBackend());
}

async function saved(trainer: Trainer) {
  const pieces: Uint8Array[] = [];
  for await (const piece of writeSafetensors(trainer.tensors())) pieces.push(piece.slice());
  const bytes = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
  return safetensorsWeights([await openSafetensors(memorySource('run.safetensors', bytes))]);
}

const bits = (trainer: Trainer): Record<string, number[]> =>
  Object.fromEntries(trainer.tensors().map(({ name, data }) => [name, [...(data as Uint8Array)]]));

describe('drawBatch', () => {
  const slots = [0, 1].map(() => ({ length: 1, caches: [], rows: 0, bytes: 4 }));

  test('a pure function of seed and pass: pieces of the text with the token after each, documents reset', async () => {
    const batch = await drawBatch(training, OPTIONS, 5, 3, slots);
    expect(await drawBatch(training, OPTIONS, 5, 3, slots)).toEqual(batch);
    expect((await drawBatch(training, OPTIONS, 5, 4, slots)).ids).not.toEqual(batch.ids);
    expect((await drawBatch(training, OPTIONS, 6, 3, slots)).ids).not.toEqual(batch.ids);
    const joined = text.join();
    for (const i of [0, 1]) {
      const ids = batch.ids.subarray(24 * i, 24 * (i + 1));
      expect(joined).toContain([...ids, batch.targets[24 * i + 23]!].join());
      expect(batch.targets.subarray(24 * i, 24 * i + 23)).toEqual(ids.subarray(1));
    }
    let next = 0;
    for (const { start, length, reset } of batch.segments) {
      expect([start, reset]).toEqual([next, true]);
      next += length;
      // Within a document no other one begins.
      expect(batch.ids.subarray(start + 1, next)).not.toContain(0);
      if (start % 24 !== 0) expect(batch.ids[start]).toBe(0);
    }
    expect(next).toBe(48);
    expect(batch.segments.length).toBeGreaterThan(2);
  });

  test('a text shorter than a piece throws TRAIN_DATA', async () => {
    await expect(drawBatch(memoryTokens(text.subarray(0, 24)), OPTIONS, 5, 0, slots)).rejects.toMatchObject({
      code: 'TRAIN_DATA',
    });
  });

  test('token files of 2 and 4 bytes are read by ranges', async () => {
    const bytes = { 2: new Uint8Array(Uint16Array.from(text).buffer), 4: new Uint8Array(text.slice().buffer) };
    for (const width of [2, 4] as const) {
      const reads: number[] = [];
      const file = memorySource('ids.bin', bytes[width]);
      const watched = {
        ...file,
        read: (offset: number, length: number) => {
          reads.push(length);
          return file.read(offset, length);
        },
      };
      const source: TokenSource = fileTokens(watched, width);
      expect(source.length).toBe(600);
      expect(await tokenRange(source, 100, 200).read(3, 8)).toEqual(text.slice(103, 108));
      expect(reads).toEqual([5 * width]);
    }
    expect(() => fileTokens(memorySource('odd', new Uint8Array(3)), 2)).toThrow(/no multiple of 2/);
  });
});

describe('Trainer', () => {
  test.each(['mamba', 'gpt_neox'])('%s: the loss falls by a nat in 60 steps, on unseen text too', async (name) => {
    const trainer = new Trainer(await trainable(name), training, 60, OPTIONS);
    const before = await trainer.evaluate(validation, 64);
    let report = await trainer.advance();
    const first = report.nats_per_token;
    while (trainer.step < 60) report = await trainer.advance();
    expect(report).toMatchObject({ step: 60, tokens: 48 });
    expect(first - report.nats_per_token).toBeGreaterThan(1);
    expect(before - (await trainer.evaluate(validation, 64))).toBeGreaterThan(1);
    trainer.dispose();
    trainer.model.backend.dispose();
  });

  test('batches from a function: loss and gradient are means over the targets, however few, within 1e-6', async () => {
    const model = await trainable();
    const { length, caches } = model.definition.state;
    const slots = [0, 1].map(() => model.backend.createSlot(length, caches));
    const passes: number[] = [];
    const make: BatchSource = (pass, own) => {
      passes.push(pass);
      const ids = Int32Array.from({ length: 12 }, (_, i) => 1 + ((i * 5 + pass) % 7));
      const targets = new Int32Array(12).fill(NO_TARGET);
      // One sequence has one target, the other three: a mean of means would be another number.
      for (const row of [5, 7, 9, 11]) targets[row] = ids[row - 1]!;
      const segments = own.map((slot, i) => ({ start: 6 * i, length: 6, slot, reset: true, position: 0 }));
      return { ids, targets, segments };
    };
    model.zeroGradients();
    const { nats, count } = await backpropagate(model, await make(0, slots));
    const gradients = await Promise.all([...model.parameters.keys()].map((name) => model.gradient(name)));
    const report = await new Trainer(model, make, 2, { ...OPTIONS, warmup: 1 }).advance();
    expect([passes, count, report.tokens]).toEqual([[0, 0], 4, 12]);
    expect(Math.abs(report.nats_per_token - nats / 4)).toBeLessThan(1e-6);
    expect(Math.abs(report.gradient_norm / globalNorm(gradients) - 1)).toBeLessThan(1e-6);
  });

  test('no two passes read the same pieces', async () => {
    const starts: number[] = [];
    const watched: TokenSource = {
      ...training,
      read: (start, end) => {
        starts.push(start);
        return training.read(start, end);
      },
    };
    const trainer = new Trainer(await trainable(), watched, 4, { ...OPTIONS, accumulate: 2 });
    while (trainer.step < 4) await trainer.advance();
    expect(starts).toHaveLength(16);
    expect(new Set(starts).size).toBeGreaterThan(12);
  });

  test('saved, restored into a new run and gone on with: the bits of a run that was never interrupted', async () => {
    const options = { ...OPTIONS, dropout: 0.2, accumulate: 2, averageDecay: 0.9 };
    const whole = new Trainer(await trainable(), training, 12, options);
    while (whole.step < 12) await whole.advance();

    const begun = new Trainer(await trainable(), training, null, options);
    while (begun.step < 4) await begun.advance();
    begun.planFor(12);
    await begun.advance();
    const resumed = new Trainer(await trainable(), training, 12, options);
    await resumed.restore(begun.step, await saved(begun));
    while (resumed.step < 12) await resumed.advance();
    expect(bits(resumed)).toEqual(bits(whole));

    // Evaluating leaves no trace, and reads the average.
    const loss = await resumed.evaluate(validation);
    expect(bits(resumed)).toEqual(bits(whole));
    expect(loss).not.toBe(await new Trainer(whole.model, training, 12, OPTIONS).evaluate(validation));
    expect([...(resumed.weights()[0]!.data as Uint8Array)]).toEqual(
      bits(resumed)[`average.${resumed.weights()[0]!.name}`],
    );
  });

  test('typed errors: an unknown number of steps after the warm-up, a run that diverges, a run of another shape', async () => {
    const trainer = new Trainer(await trainable(), training, null, OPTIONS);
    while (trainer.step < 4) await trainer.advance();
    await expect(trainer.advance()).rejects.toMatchObject({ code: 'ARGUMENT' });
    trainer.planFor(10);
    await trainer.advance();
    const other = new Trainer(await trainable('gpt_neox'), training, 10, OPTIONS);
    await expect(other.restore(5, await saved(trainer))).rejects.toMatchObject({ code: 'MISSING_TENSOR' });
    const { values } = trainer.model.parameters.get('backbone.embeddings.weight')!;
    values.fill(Number.NaN);
    trainer.model.update('backbone.embeddings.weight');
    await expect(trainer.advance()).rejects.toMatchObject({ code: 'TRAIN_DIVERGED' });
    expect(trainer.step).toBe(5);
    await expect(trainer.advance(AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
  });
});

test('an abort during validation is heard, though the text is in memory', async () => {
  const trainer = new Trainer(await trainable(), training, 4, OPTIONS);
  const controller = new AbortController();
  setTimeout(() => controller.abort(new Error('enough')), 0);
  const long = memoryTokens(new Int32Array(200_000).fill(1));
  await expect(trainer.evaluate(long, 24, controller.signal)).rejects.toThrow('enough');
  trainer.dispose();
});

test('a validation without a token to score is TRAIN_DATA', async () => {
  const trainer = new Trainer(await trainable(), training, 4, OPTIONS);
  for (const length of [0, 1]) {
    const none = memoryTokens(new Int32Array(length));
    await expect(trainer.evaluate(none)).rejects.toMatchObject({ code: 'TRAIN_DATA' });
  }
  trainer.dispose();
});

test('a gradient that is no number is TRAIN_DIVERGED, and the weights stay as they were', async () => {
  const model = await trainable();
  const inner = localTeam(model);
  const trainer = new Trainer(model, training, 4, OPTIONS, {
    ...inner,
    async run(shares, signal) {
      const results = await inner.run(shares, signal);
      [...results[0]!.gradients.values()][0]![0] = Number.POSITIVE_INFINITY;
      return results;
    },
  });
  const before = bits(trainer);
  await expect(trainer.advance()).rejects.toMatchObject({ code: 'TRAIN_DIVERGED' });
  expect(bits(trainer)).toEqual(before);
  trainer.dispose();
});
