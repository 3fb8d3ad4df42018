import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { type BatchSource, Trainer } from '../src/index.ts';
import { BACKENDS, trainableFixture } from './fixture.ts';

interface Curve {
  readonly options: {
    readonly rate: number;
    readonly warmup: number;
    readonly floor: number;
    readonly max_norm: number;
    readonly weight_decay: number;
    readonly betas: readonly [number, number];
  };
  /** `[steps, sequences, length + 1]`. */
  readonly batches: readonly (readonly (readonly number[])[])[];
  readonly losses: readonly number[];
  readonly norms: readonly number[];
}

const REMAKE = 'fixtures/training.json is made by fixtures/training.py';

describe.each(Object.keys(BACKENDS))('50 steps on %s', (on) => {
  test('losses equal those of PyTorch within 1e-3, norms of gradients within 0.1 %', async () => {
    const { options, batches, losses, norms } = JSON.parse(
      new TextDecoder().decode(await loadFixture('training.json')),
    ) as Curve;
    const model = await trainableFixture('trained/mamba', await BACKENDS[on]!());
    const [sequences, length] = [batches[0]!.length, batches[0]![0]!.length - 1];
    const draw: BatchSource = async (pass, slots) => ({
      ids: Int32Array.from(batches[pass]!.flatMap((piece) => piece.slice(0, -1))),
      targets: Int32Array.from(batches[pass]!.flatMap((piece) => piece.slice(1))),
      segments: slots.map((slot, i) => ({ start: i * length, length, slot, reset: true, position: 0 })),
    });
    const trainer = new Trainer(model, draw, batches.length, {
      ...{ sequences, length, separator: null, seed: 1, shape: 'cosine' },
      ...{ rate: options.rate, warmup: options.warmup, floor: options.floor, maxNorm: options.max_norm },
      adamw: { betas: options.betas, weightDecay: options.weight_decay },
    });
    for (const [i, loss] of losses.entries()) {
      const { nats_per_token, gradient_norm } = await trainer.advance();
      expect(Math.abs(nats_per_token - loss), `step ${i + 1}; ${REMAKE}`).toBeLessThanOrEqual(1e-3);
      expect(Math.abs(gradient_norm / norms[i]! - 1), `step ${i + 1}; ${REMAKE}`).toBeLessThanOrEqual(1e-3);
    }
    trainer.dispose();
    model.dispose();
  });
});
