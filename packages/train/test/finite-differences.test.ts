import { describe, test } from 'vitest';
import { Tape } from '../src/index.ts';
import { BEFORE, compare, compareParameters, meanLoss, prepare } from './differences.ts';
import { FIXTURES, TIME_INVARIANT, timeInvariantModel, trainableFixture } from './fixture.ts';

describe('gradients in f64 equal central differences within 1e-6, for every parameter and the initial state', () => {
  test.each([...FIXTURES, TIME_INVARIANT])('%s', async (name) => {
    const c = await prepare(
      name,
      name === TIME_INVARIANT ? (_, backend) => timeInvariantModel(backend) : trainableFixture,
    );
    const { backend } = c;
    const tape = new Tape(backend);
    await meanLoss(c, tape, true);
    const state = await backend.readSlotExact(
      tape.stateGradient(c.going),
      c.initial.length > c.going.length ? BEFORE : 0,
    );
    tape.dispose();
    await compareParameters(c);
    const { initial } = c;
    await compare('the initial state', c, initial.slice(), state, (now) => initial.set(now));
    backend.dispose();
  });
});
