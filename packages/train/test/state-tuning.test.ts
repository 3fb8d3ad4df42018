import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { describe, expect, test } from 'vitest';
import { backpropagate, createTrainable, INITIAL_STATE, memoryTokens, Tape, Trainer } from '../src/index.ts';
import { random } from './differences.ts';
import { BACKENDS, fixtureParameters, testBatch, trainableFixture } from './fixture.ts';

/** Two documents in one slot, and one that goes on from a state of its own. */
const LENGTHS = [5, 34, 3] as const;

describe('the gradient of the initial state in f64 equals central differences within 1e-5', () => {
  test.each(['mamba/plain', 'mamba/falcon-bias', 'mamba2/groups', 'mamba3/siso', 'mamba3/mimo-norm'])(
    '%s',
    async (name) => {
      const backend = createReferenceBackend({ precision: 'f64' });
      const { definition, base } = await fixtureParameters(name);
      const model = await createTrainable(definition, base, backend, { method: 'state' });
      const { values } = model.parameters.get(INITIAL_STATE)!;
      const uniform = random(3);
      // Numbers that f32 holds exactly, with their neighbours.
      const [step, start] = [2 ** -13, values.map(() => Math.round(8192 * uniform()) / 8192)];
      const slots = [0, 1].map(() => backend.createSlot(definition.state.length));
      const batch = testBatch(await trainableFixture(name, backend), LENGTHS, slots);
      const loss = async (): Promise<number> => {
        const tape = new Tape(backend);
        backend.writeSlot(slots[0]!, new Float32Array(definition.state.length));
        const losses = await backend.readExact(tape.value(model.losses(tape, batch)));
        tape.dispose();
        backend.endStep();
        return losses.reduce((sum, value) => sum + value, 0) / losses.length;
      };
      values.set(start);
      await backpropagate(model, batch);
      const gradient = await model.gradient(INITIAL_STATE);
      for (let k = 0; k < 3; k++) {
        const direction = values.map(() => Math.max(-1, Math.min(1, Math.round(1.2 * uniform()))));
        const losses: number[] = [];
        for (const sign of [1, -1, 2, -2]) {
          values.set(start.map((value, i) => value + sign * step * direction[i]!));
          losses.push(await loss());
        }
        const [one, back, two, twoBack] = losses as [number, number, number, number];
        const difference = (8 * (one - back) - (two - twoBack)) / (12 * step);
        const slope = gradient.reduce((sum, value, i) => sum + value * direction[i]!, 0);
        expect(Math.abs(difference)).toBeGreaterThan(1e-4);
        expect(Math.abs(slope - difference), `${slope} against ${difference}`).toBeLessThanOrEqual(
          1e-5 * Math.abs(difference) + 1e-9,
        );
      }
      backend.dispose();
    },
  );
});

describe('StateTuning', () => {
  test('zeros are where texts begin otherwise; trained, the loss falls and the weights stay', async () => {
    const backend = await BACKENDS['wasm-simd']!();
    const { definition, base } = await fixtureParameters('mamba/plain');
    const before = new Map([...base].map(([name, values]) => [name, values.slice()]));
    const text = memoryTokens(Int32Array.from({ length: 400 }, (_, i) => 1 + ((i * i) % 7)));
    const options = { sequences: 2, length: 16, separator: 2, seed: 1, rate: 0.1, warmup: 1, shape: 'cosine' } as const;
    const model = await createTrainable(definition, base, backend, { method: 'state' });
    const tuned = new Trainer(model, text, 20, options);
    const plain = new Trainer(await trainableFixture('mamba/plain', backend), text, 20, options);
    const untuned = await plain.evaluate(text, 16);
    expect(await tuned.evaluate(text, 16)).toBe(untuned);
    while (tuned.step < 20) await tuned.advance();
    expect(untuned - (await tuned.evaluate(text, 16))).toBeGreaterThan(0.2);
    expect(await plain.evaluate(text, 16)).toBe(untuned);
    expect(base).toEqual(before);
    backend.dispose();
  });

  test('a Transformer has no such state', async () => {
    const { definition, base } = await fixtureParameters('llama/grouped');
    await expect(
      createTrainable(definition, base, createReferenceBackend(), { method: 'state' }),
    ).rejects.toMatchObject({ code: 'TUNE_STATE' });
  });
});
