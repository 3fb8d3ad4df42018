import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createPause } from '../src/pause.ts';

let time = 0;
beforeEach(() => {
  time = 1000;
  vi.spyOn(performance, 'now').mockImplementation(() => time);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** False if `wait` ends within microtasks, while timers and messages wait. */
async function gaveTurn(wait: () => Promise<void>): Promise<boolean> {
  let ended = false;
  const waiting = wait().then(() => {
    ended = true;
  });
  for (let i = 0; i < 100; i++) await null;
  const turn = !ended;
  await waiting;
  return turn;
}

describe.each([
  ['as the engine has it', (): void => {}],
  ['without setImmediate, as in browsers', (): void => void vi.stubGlobal('setImmediate', undefined)],
])('%s', (_, prepare) => {
  test('a turn of the event loop every 12 ms, none before', async () => {
    prepare();
    const pause = createPause();
    expect(await gaveTurn(pause)).toBe(false);
    time += 11;
    expect(await gaveTurn(pause)).toBe(false);
    time += 1;
    expect(await gaveTurn(pause)).toBe(true);
    // Counted from the end of the turn.
    time += 11;
    expect(await gaveTurn(pause)).toBe(false);
    time += 30;
    expect(await gaveTurn(pause)).toBe(true);
  });

  test('the turn itself does not count', async () => {
    prepare();
    const pause = createPause();
    time += 12;
    const turn = pause();
    time += 100;
    await turn;
    expect(await gaveTurn(pause)).toBe(false);
  });
});

test('without setImmediate the channel is closed: nothing keeps a process alive', async () => {
  vi.stubGlobal('setImmediate', undefined);
  const close = vi.spyOn(MessagePort.prototype, 'close');
  const pause = createPause();
  time += 12;
  await pause();
  expect(close).toHaveBeenCalledTimes(1);
});
