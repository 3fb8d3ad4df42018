import { describe, expect, test, vi } from 'vitest';
import { type PrefillProgress, score } from '../src/index.ts';
import { type FakeState, fakeModel } from './fake-model.ts';

const text = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6];

/** The definition: one token per call, log-softmax by Math.exp and Math.log. */
async function byDefinition(ids: readonly number[], window: number): Promise<{ nats: number; logits: number[][] }> {
  const model = fakeModel();
  let state = model.createState();
  let nats = 0;
  const logits: number[][] = [];
  for (const [i, id] of ids.entries()) {
    if (i % window === 0) state = model.createState();
    const row = [...(await model.forward(Int32Array.of(id), state, 'last'))];
    logits.push(row);
    const target = ids[i + 1];
    if (target !== undefined) nats -= Math.log(Math.exp(row[target]!) / row.reduce((sum, x) => sum + Math.exp(x), 0));
  }
  return { nats, logits };
}

test('equals the definition within 1e-12 for every window and piece size, with and without the logits', async () => {
  for (const window of [undefined, 1, 2, 3, 5, 7, 8, 20, 21, 100]) {
    const expected = await byDefinition(text, window ?? text.length);
    for (const maxChunk of [1, 2, 3, 8, 64]) {
      for (const logits of [false, true]) {
        const rows: number[][] = [];
        const starts: number[] = [];
        const model = fakeModel({ maxChunk });
        const result = await score(model, text, {
          ...(window === undefined ? {} : { window }),
          ...(logits
            ? {
                onLogits: (start, piece) => {
                  starts.push(start);
                  expect(piece.length % 23).toBe(0);
                  for (let at = 0; at < piece.length; at += 23) rows.push([...piece.subarray(at, at + 23)]);
                },
              }
            : {}),
        });
        expect([result.tokens, result.scored]).toEqual([21, 20]);
        expect(Math.abs(result.nats / expected.nats - 1), `window ${window}, pieces of ${maxChunk}`).toBeLessThan(
          1e-12,
        );
        expect(result.natsPerToken).toBe(result.nats / 20);
        expect(result.perplexity).toBe(Math.exp(result.nats / 20));
        expect(model.alive).toBe(0);
        if (logits) {
          expect(rows).toEqual(expected.logits);
          expect(starts[0]).toBe(0);
          expect([...starts].sort((a, b) => a - b)).toEqual(starts);
        }
      }
    }
  }
});

test('reads in pieces as large as the model takes, cut at windows; the last token only where its logits are wanted', async () => {
  const sizes = async (options: object): Promise<number[]> => {
    const model = fakeModel({ maxChunk: 4 });
    await score(model, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], options);
    expect(new Set(model.wanted)).toEqual(new Set(['all']));
    return model.calls.map(({ length }) => length);
  };
  expect(await sizes({})).toEqual([4, 4, 1]);
  expect(await sizes({ onLogits: () => {} })).toEqual([4, 4, 2]);
  expect(await sizes({ window: 6 })).toEqual([4, 2, 3]);
  expect(await sizes({ window: 3 })).toEqual([3, 3, 3]);
});

test('a large vocabulary is read in smaller pieces: 32 MiB of logits at once', async () => {
  const firstPiece = async (vocabSize: number): Promise<number> => {
    // It fails at once: the logits of a large vocabulary take their time.
    const onForward = (): never => {
      throw new Error('seen');
    };
    const model = fakeModel({ vocabSize, maxChunk: 8, fill: () => {}, onForward });
    await expect(score(model, [1, 2, 3, 4, 5, 6])).rejects.toThrow('seen');
    return model.calls[0]!.length;
  };
  expect(await firstPiece(2 ** 20)).toBe(5);
  expect(await firstPiece(2 ** 21)).toBe(4);
  expect(await firstPiece(2 ** 21 + 1)).toBe(3);
  // Past the bound one row at a time.
  expect(await firstPiece(2 ** 23 + 1)).toBe(1);
});

test('one token: nothing is scored, and its logits are there', async () => {
  const model = fakeModel();
  expect(await score(model, [5])).toEqual({
    tokens: 1,
    scored: 0,
    nats: 0,
    natsPerToken: Number.NaN,
    perplexity: Number.NaN,
  });
  expect(model.calls).toEqual([]);
  const rows: number[] = [];
  await score(model, [5], { onLogits: (_, piece) => void rows.push(piece.length) });
  expect([rows, model.calls]).toEqual([[23], [[5]]]);
});

test('logits far from 0 neither overflow nor lose the difference', async () => {
  for (const shift of [0, 1e5, -1e5]) {
    const fill = (row: Float32Array): void => {
      row.fill(Number.NEGATIVE_INFINITY);
      row.set([shift, shift, shift, shift]);
    };
    const { nats } = await score(fakeModel({ fill }), [0, 3, 2]);
    // log(sum) is taken relative to the greatest, so that f64 keeps 1e-11 even at 1e5.
    expect(Math.abs(nats - 2 * Math.log(4))).toBeLessThan(1e-10);
  }
});

test('a token that the model excludes costs infinitely much', async () => {
  const fill = (row: Float32Array): void => {
    row.fill(0);
    row[7] = Number.NEGATIVE_INFINITY;
  };
  const result = await score(fakeModel({ fill }), [1, 7]);
  expect([result.nats, result.perplexity]).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
});

test.each([
  ['NaN', Number.NaN],
  ['+Infinity', Number.POSITIVE_INFINITY],
])('%s among the logits: LOGITS_NOT_FINITE, naming the place', async (_, value) => {
  const fill = (row: Float32Array, state: FakeState): void => {
    row.fill(0);
    if (state.position === 6) row[4] = value;
  };
  const model = fakeModel({ fill });
  await expect(score(model, text)).rejects.toMatchObject({ code: 'LOGITS_NOT_FINITE', details: { position: 5 } });
  await expect(score(model, text)).rejects.toThrow('after token 5 hold NaN or infinities');
  expect(model.alive).toBe(0);
});

test('nothing but -Infinity: LOGITS_NOT_FINITE', async () => {
  const model = fakeModel({ fill: (row) => row.fill(Number.NEGATIVE_INFINITY) });
  await expect(score(model, [1, 2])).rejects.toMatchObject({ code: 'LOGITS_NOT_FINITE' });
});

test('progress after each piece; onLogits is awaited before the next piece', async () => {
  const events: string[] = [];
  const model = fakeModel({ maxChunk: 2, onForward: (call) => void events.push(`forward ${call}`) });
  await score(model, [1, 2, 3, 4], {
    onLogits: async (start) => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      events.push(`logits ${start}`);
    },
    onProgress: ({ done, total }: PrefillProgress) => void events.push(`${done} of ${total}`),
  });
  expect(events).toEqual(['forward 1', 'logits 0', '2 of 4', 'forward 2', 'logits 2', '4 of 4']);
});

describe('one state at a time, and none is left', () => {
  test('while windows follow each other', async () => {
    let most = 0;
    const onForward = (): void => {
      most = Math.max(most, model.alive);
    };
    const model = fakeModel({ onForward });
    await score(model, text, { window: 3 });
    expect([most, model.alive]).toEqual([1, 0]);
  });

  test('when the model or a callback fails', async () => {
    const boom = new Error('boom');
    const fail = (): never => {
      throw boom;
    };
    for (const [model, options] of [
      [fakeModel({ onForward: fail }), {}],
      [fakeModel(), { onLogits: fail }],
      [fakeModel(), { onProgress: fail }],
      [fakeModel({ maxChunk: 2, onForward: (call) => (call === 3 ? fail() : undefined) }), { window: 2 }],
    ] as const) {
      await expect(score(model, text, options)).rejects.toBe(boom);
      expect(model.alive).toBe(0);
    }
  });

  test('when the next state cannot be made', async () => {
    const model = fakeModel();
    const { createState } = model;
    let made = 0;
    Object.assign(model, {
      createState: () => {
        if (++made === 2) throw new Error('no memory');
        return createState();
      },
    });
    await expect(score(model, text, { window: 4 })).rejects.toThrow('no memory');
    expect(model.alive).toBe(0);
  });
});

describe('an abort', () => {
  const reason = new Error('enough');

  test('before the start: nothing runs', async () => {
    const model = fakeModel();
    await expect(score(model, text, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect([model.calls.length, model.alive]).toEqual([0, 0]);
  });

  test('between two pieces', async () => {
    const controller = new AbortController();
    const model = fakeModel({ maxChunk: 2, onForward: (call) => void (call === 3 && controller.abort(reason)) });
    await expect(score(model, text, { signal: controller.signal })).rejects.toBe(reason);
    expect([model.calls.length, model.alive]).toEqual([3, 0]);
  });

  test('by a timer is heard although every forward pass resolves at once', async () => {
    const controller = new AbortController();
    const model = fakeModel({ vocabSize: 4, maxChunk: 1 });
    setTimeout(() => controller.abort(reason), 30);
    await expect(score(model, Array(300_000).fill(1), { signal: controller.signal })).rejects.toBe(reason);
    expect(model.alive).toBe(0);
  }, 60_000);
});

test('gives the event loop a turn where 12 ms have passed since the last one', async () => {
  let time = 0;
  let turns = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => time);
  vi.stubGlobal('setImmediate', (resume: () => void) => {
    turns++;
    queueMicrotask(resume);
  });
  try {
    const onForward = (): void => {
      time += 5;
    };
    await score(fakeModel({ maxChunk: 1, onForward }), text.slice(0, 7));
    expect([time, turns]).toEqual([30, 2]);
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  }
});

test('onToken: each scored token once, in order, and their nats add up to the score exactly', async () => {
  const positions: number[] = [];
  let sum = 0;
  const { nats } = await score(fakeModel({ maxChunk: 4 }), text, {
    window: 6,
    onToken: (position, ofToken) => {
      positions.push(position);
      sum += ofToken;
    },
  });
  expect(positions).toEqual(text.slice(1).map((_, i) => i + 1));
  expect(sum).toBe(nats);
});
