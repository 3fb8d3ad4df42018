import { describe, expect, test, vi } from 'vitest';
import { createSampler, type GenerateOptions, generate, type PrefillProgress, TokenHistory } from '../src/index.ts';
import { collect, type FakeModel, fakeModel, scriptedModel } from './fake-model.ts';

const ids = (items: readonly { id: number }[]): number[] => items.map(({ id }) => id);

/** The loop as one would write it on paper: one token per call, nothing reused. */
async function byDefinition(prompt: readonly number[], options: GenerateOptions, count: number): Promise<number[]> {
  const model = fakeModel();
  const state = model.createState();
  const history = new TokenHistory(model.vocabSize);
  history.addPrompt(prompt);
  let logits = new Float32Array(0);
  for (const id of prompt) logits = (await model.forward(Int32Array.of(id), state, 'last')).slice();
  const out: number[] = [];
  const sampler = createSampler(options, model.vocabSize);
  for (let i = 0; i < count; i++) {
    const id = sampler.sample(logits, history);
    history.addGenerated(id);
    out.push(id);
    logits = (await model.forward(Int32Array.of(id), state, 'last')).slice();
  }
  return out;
}

const lively: GenerateOptions = { temperature: 1.2, topK: 12, repetitionPenalty: 1.2, frequencyPenalty: 0.3, seed: 4 };

describe('the tokens', () => {
  test('are those of the definition, for any piece size of the prompt', async () => {
    const prompt = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2];
    for (const options of [{}, lively]) {
      const expected = await byDefinition(prompt, options, 15);
      for (const prefillChunk of [1, 2, 7, 8, 16, 17, 100]) {
        const model = fakeModel({ maxChunk: 16 });
        const { items, result } = await collect(generate(model, prompt, { ...options, maxTokens: 15, prefillChunk }));
        expect(ids(items)).toEqual(expected);
        expect(result.ids).toEqual(expected);
        expect(items.map(({ index }) => index)).toEqual([...expected.keys()]);
        expect(model.alive).toBe(0);
      }
    }
  });

  test('are 256 at most unless told otherwise', async () => {
    const { items, result } = await collect(generate(fakeModel(), [1]));
    expect([items.length, result.ids.length, result.stopReason]).toEqual([256, 256, 'length']);
  });

  test('are those of the default seed 0, and of another with another', async () => {
    const run = async (options: GenerateOptions): Promise<string> =>
      ids((await collect(generate(fakeModel(), [1], { temperature: 1, maxTokens: 12, ...options }))).items).join();
    expect(await run({})).toBe(await run({ seed: 0 }));
    expect(await run({ seed: 1 })).not.toBe(await run({ seed: 0 }));
  });

  test('pass own processors, after the penalties, with the history of prompt and text', async () => {
    const seen: number[][] = [];
    const model = fakeModel();
    const { items } = await collect(
      generate(model, [7, 8], {
        maxTokens: 3,
        processors: [
          (logits, history) => {
            seen.push([...history.ids.subarray(0, history.distinct)]);
            logits.fill(0);
            logits[20 - history.generated] = 1;
          },
        ],
      }),
    );
    expect(ids(items)).toEqual([20, 19, 18]);
    expect(seen).toEqual([
      [7, 8],
      [7, 8, 20],
      [7, 8, 20, 19],
    ]);
  });
});

describe('the prompt', () => {
  test('is fed in pieces; logits are wanted for the last one only', async () => {
    const model = fakeModel({ maxChunk: 4 });
    const progress: PrefillProgress[] = [];
    const onProgress = (step: PrefillProgress): void => {
      progress.push(step);
    };
    await collect(generate(model, [1, 2, 3, 4, 5, 6, 7, 8, 9], { maxTokens: 2, onProgress }));
    expect(model.calls.slice(0, 3)).toEqual([[1, 2, 3, 4], [5, 6, 7, 8], [9]]);
    expect(model.wanted).toEqual(['none', 'none', 'last', 'last']);
    expect(progress).toEqual([
      { done: 4, total: 9 },
      { done: 8, total: 9 },
      { done: 9, total: 9 },
    ]);
  });

  test('is fed in smaller pieces on request, never in larger ones than the model takes', async () => {
    const sizes = async (prefillChunk: number): Promise<number[]> => {
      const model = fakeModel({ maxChunk: 4 });
      await collect(generate(model, [1, 2, 3, 4, 5, 6], { maxTokens: 1, prefillChunk }));
      return model.calls.map(({ length }) => length);
    };
    expect(await sizes(5)).toEqual([4, 2]);
    expect(await sizes(4)).toEqual([4, 2]);
    expect(await sizes(3)).toEqual([3, 3]);
    expect(await sizes(1)).toEqual([1, 1, 1, 1, 1, 1]);
  });

  test('where empty is the model s first id, or bosId in its place', async () => {
    const first = async (bosTokenId: number | null, options: GenerateOptions): Promise<FakeModel> => {
      const model = fakeModel({ bosTokenId });
      await collect(generate(model, [], { ...options, maxTokens: 1 }));
      return model;
    };
    expect((await first(0, {})).calls[0]).toEqual([0]);
    expect((await first(5, { bosId: 0 })).calls[0]).toEqual([0]);
    expect((await first(null, { bosId: 22 })).calls[0]).toEqual([22]);
    const model = fakeModel({ bosTokenId: 5 });
    await collect(generate(model, [1], { maxTokens: 1 }));
    expect(model.calls[0]).toEqual([1]);
  });

  test('is only read with maxTokens 0, and no logits are computed', async () => {
    const model = fakeModel({ maxChunk: 2 });
    const state = model.createState();
    const { items, result } = await collect(generate(model, [1, 2, 3], { maxTokens: 0, state }));
    expect(items).toEqual([]);
    expect(result).toMatchObject({ stopReason: 'length', stopId: null, ids: [], pendingIds: [], prefillTokens: 3 });
    expect(result.decodeTokens).toBe(0);
    expect(model.wanted).toEqual(['none', 'none']);
    expect(state.position).toBe(3);
  });
});

describe('the end', () => {
  test('length: the last token is pending, not fed', async () => {
    const model = fakeModel();
    const { items, result } = await collect(generate(model, [1, 2], { maxTokens: 3 }));
    const all = ids(items);
    expect(result).toMatchObject({ stopReason: 'length', stopId: null, ids: all, pendingIds: [all[2]] });
    expect(result).toMatchObject({ prefillTokens: 2, decodeTokens: 2 });
    expect(model.calls).toEqual([[1, 2], [all[0]], [all[1]]]);
  });

  test('eos: the id is no part of the text, and nothing is pending', async () => {
    const model = scriptedModel([4, 5], 9);
    const { items, result } = await collect(generate(model, [1]));
    expect(ids(items)).toEqual([4, 5]);
    expect(result).toMatchObject({ stopReason: 'eos', stopId: 9, ids: [4, 5], pendingIds: [], decodeTokens: 2 });
    expect(model.calls).toEqual([[1], [4], [5]]);
  });

  test('eos as the first choice: an empty text', async () => {
    const { items, result } = await collect(generate(scriptedModel([], 9), [1]));
    expect(items).toEqual([]);
    expect(result).toMatchObject({ stopReason: 'eos', stopId: 9, ids: [], pendingIds: [], decodeTokens: 0 });
  });

  test('stopIds end the text like the model s own, which still count', async () => {
    const own = await collect(generate(scriptedModel([4, 5, 6], 9), [1], { stopIds: [7, 5] }));
    expect(own.result).toMatchObject({ stopReason: 'eos', stopId: 5, ids: [4] });
    const models = await collect(generate(scriptedModel([4], 9), [1], { stopIds: [7] }));
    expect(models.result).toMatchObject({ stopReason: 'eos', stopId: 9, ids: [4] });
  });

  test('ignoreEos lets the model s ids pass, not those of stopIds', async () => {
    const { result } = await collect(generate(scriptedModel([4], 9), [1], { ignoreEos: true, maxTokens: 4 }));
    expect(result).toMatchObject({ stopReason: 'length', ids: [4, 9, 9, 9] });
    const stopped = await collect(generate(scriptedModel([4], 9), [1], { ignoreEos: true, stopIds: [9] }));
    expect(stopped.result).toMatchObject({ stopReason: 'eos', stopId: 9, ids: [4] });
    const kept = await collect(generate(scriptedModel([4], 9), [1], { ignoreEos: false }));
    expect(kept.result.stopReason).toBe('eos');
  });

  test('stopWhen: sees each token once, before it is yielded; the one it stops at is part of the text', async () => {
    const seen: string[] = [];
    const model = scriptedModel([4, 5, 6, 7], 9);
    const tokens = generate(model, [1], {
      stopWhen: ({ id, index }) => {
        seen.push(`asked ${id} at ${index}`);
        return id === 6;
      },
    });
    let result: unknown;
    for (;;) {
      const step = await tokens.next();
      if (step.done) {
        result = step.value;
        break;
      }
      seen.push(`got ${step.value.id}`);
    }
    expect(seen).toEqual(['asked 4 at 0', 'got 4', 'asked 5 at 1', 'got 5', 'asked 6 at 2', 'got 6']);
    expect(result).toMatchObject({ stopReason: 'stop', stopId: null, ids: [4, 5, 6], pendingIds: [6] });
    expect(model.calls).toEqual([[1], [4], [5]]);
    expect(model.alive).toBe(0);
  });

  test('stopWhen at the last token allowed: stop, not length', async () => {
    const { result } = await collect(generate(fakeModel(), [1], { maxTokens: 1, stopWhen: () => true }));
    expect(result.stopReason).toBe('stop');
  });
});

describe('a state', () => {
  test('given is fed in place and left to the caller; an own one is disposed', async () => {
    const model = fakeModel();
    const state = model.createState();
    const { result } = await collect(generate(model, [1, 2], { state, maxTokens: 3 }));
    expect([model.alive, state.position]).toEqual([1, 4]);
    await collect(generate(model, [1, 2], { maxTokens: 3 }));
    expect(model.alive).toBe(1);
    expect(result.pendingIds.length).toBe(1);
  });

  test('continued with prior and pendingIds gives what an uninterrupted run gives, at every place of interruption', async () => {
    const prompt = [3, 1, 4];
    for (const options of [{}, lively]) {
      const whole = (await collect(generate(fakeModel(), prompt, { ...options, maxTokens: 12 }))).result.ids;
      for (let cut = 1; cut < 12; cut++) {
        const model = fakeModel();
        const state = model.createState();
        const before = await collect(generate(model, prompt, { ...options, state, maxTokens: cut }));
        const { pendingIds } = before.result;
        const generated = before.result.ids;
        const after = await collect(
          generate(model, pendingIds, { ...options, state, maxTokens: 12 - cut, prior: { prompt, generated } }),
        );
        expect([...generated, ...after.result.ids], `cut at ${cut}`).toEqual(whole);
        expect(after.items.map(({ index }) => index)).toEqual(Array.from({ length: 12 - cut }, (_, i) => cut + i));
      }
    }
  });

  test('prior.prompt counts for the repetition penalty, prior.generated for all and for the draws', async () => {
    const fill = (row: Float32Array): void => {
      row.fill(0);
      row.set([1, 0.9, 0.8]);
    };
    const pick = async (options: GenerateOptions): Promise<number> =>
      (await collect(generate(fakeModel({ fill }), [5], { maxTokens: 1, ...options }))).result.ids[0]!;
    expect(await pick({ repetitionPenalty: 2 })).toBe(0);
    expect(await pick({ repetitionPenalty: 2, prior: { prompt: [0] } })).toBe(1);
    expect(await pick({ repetitionPenalty: 2, prior: { prompt: Int32Array.of(0), generated: [1] } })).toBe(2);
    expect(await pick({ presencePenalty: 1, prior: { prompt: [0] } })).toBe(0);
    expect(await pick({ presencePenalty: 1, prior: { generated: [0] } })).toBe(1);
    const draws = [0, 1, 2, 3, 4, 5].map((n) => pick({ temperature: 9, prior: { generated: Array(n).fill(9) } }));
    expect(new Set(await Promise.all(draws)).size).toBeGreaterThan(2);
  });

  test('is not made before the first step, and an unstarted generation leaves none', async () => {
    const model = fakeModel();
    const tokens = generate(model, [1]);
    expect([model.alive, model.calls.length]).toEqual([0, 0]);
    await tokens.return(undefined as never);
    expect([model.alive, model.calls.length]).toEqual([0, 0]);
  });
});

describe('nothing is left behind', () => {
  test('when the consumer leaves early', async () => {
    const model = fakeModel();
    for await (const { index } of generate(model, [1])) if (index === 2) break;
    expect([model.alive, model.calls.length]).toEqual([0, 3]);
  });

  test('when the model, a callback, a processor or the sampler throws; the error comes through as it is', async () => {
    const boom = new Error('boom');
    const fail = (): never => {
      throw boom;
    };
    const cases: [FakeModel, GenerateOptions][] = [
      [fakeModel({ onForward: fail }), {}],
      [fakeModel({ onForward: (call) => (call === 3 ? fail() : undefined) }), {}],
      [fakeModel(), { stopWhen: fail }],
      [fakeModel(), { onProgress: fail }],
      [fakeModel(), { processors: [fail] }],
    ];
    for (const [model, options] of cases) {
      await expect(collect(generate(model, [1, 2], options))).rejects.toBe(boom);
      expect(model.alive).toBe(0);
      const state = model.createState();
      await expect(
        collect(generate(model, [1, 2], { ...options, state })).catch(() => 'failed'),
      ).resolves.toBeDefined();
      expect(model.alive).toBe(1);
    }
    const nan = fakeModel({ fill: (row) => row.fill(Number.NaN) });
    await expect(collect(generate(nan, [1]))).rejects.toMatchObject({ code: 'LOGITS_NOT_FINITE' });
    expect(nan.alive).toBe(0);
  });
});

describe('an abort', () => {
  const reason = new Error('enough');

  test('before the start: nothing runs', async () => {
    const model = fakeModel();
    await expect(collect(generate(model, [1], { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    expect([model.alive, model.calls.length]).toEqual([0, 0]);
  });

  test('during the prompt: no further piece is read, and the state says how far it came', async () => {
    const controller = new AbortController();
    const model = fakeModel({ maxChunk: 2, onForward: (call) => void (call === 2 && controller.abort(reason)) });
    const state = model.createState();
    const run = collect(generate(model, [1, 2, 3, 4, 5, 6, 7], { state, signal: controller.signal }));
    await expect(run).rejects.toBe(reason);
    expect([model.calls.length, state.position, model.alive]).toEqual([2, 4, 1]);
  });

  test('during the last piece of the prompt: no token is chosen', async () => {
    const controller = new AbortController();
    const model = fakeModel({ onForward: () => controller.abort(reason) });
    const tokens = generate(model, [1, 2], { signal: controller.signal });
    await expect(tokens.next()).rejects.toBe(reason);
    expect([model.calls.length, model.alive]).toEqual([1, 0]);
  });

  test('during a forward pass: its token is not yielded', async () => {
    const controller = new AbortController();
    const model = fakeModel({ onForward: (call) => void (call === 3 && controller.abort(reason)) });
    const seen: number[] = [];
    const run = async (): Promise<void> => {
      for await (const { index } of generate(model, [1], { signal: controller.signal })) seen.push(index);
    };
    await expect(run()).rejects.toBe(reason);
    expect([seen, model.calls.length, model.alive]).toEqual([[0, 1], 3, 0]);
  });

  test('while the consumer works: no further forward pass, also where the text has just ended', async () => {
    for (const options of [{}, { maxTokens: 2 }, { stopWhen: ({ index }: { index: number }) => index === 1 }]) {
      const controller = new AbortController();
      const model = fakeModel();
      const run = async (): Promise<void> => {
        for await (const { index } of generate(model, [1], { ...options, signal: controller.signal })) {
          if (index === 1) controller.abort(reason);
        }
      };
      await expect(run()).rejects.toBe(reason);
      expect([model.calls.length, model.alive]).toEqual([2, 0]);
    }
  });

  test('by a timer is heard although every forward pass resolves at once, in prompt and text', async () => {
    for (const prompt of [[1], Array(300_000).fill(1)]) {
      const model = fakeModel({ vocabSize: 4, maxChunk: 1 });
      const controller = new AbortController();
      setTimeout(() => controller.abort(reason), 30);
      const run = collect(generate(model, prompt, { maxTokens: 1_000_000, signal: controller.signal }));
      await expect(run).rejects.toBe(reason);
      expect(model.alive).toBe(0);
    }
  }, 60_000);

  test('between two tokens, while the loop gives others a turn: no further forward pass', async () => {
    const controller = new AbortController();
    const clock = vi.spyOn(performance, 'now');
    let time = 0;
    // Each look at the clock finds 20 ms gone: every pause takes its turn.
    clock.mockImplementation(() => (time += 20));
    try {
      const model = fakeModel();
      const tokens = generate(model, [1], { signal: controller.signal });
      await tokens.next();
      const next = tokens.next();
      controller.abort(reason);
      await expect(next).rejects.toBe(reason);
      expect(model.calls.length).toBe(1);
    } finally {
      clock.mockRestore();
    }
  });
});

test('timings: the prompt until its logits, each forward pass with its choice, without the time of the consumer', async () => {
  let time = 0;
  const onForward = (): void => {
    time += 10;
  };
  const model = fakeModel({ maxChunk: 2, onForward });
  const tokens = generate(model, [1, 2, 3], { maxTokens: 3, now: () => time });
  time = 1000;
  for (;;) {
    const step = await tokens.next();
    time += 500;
    if (!step.done) continue;
    expect(step.value).toMatchObject({ prefillMs: 20, decodeMs: 20, prefillTokens: 3, decodeTokens: 2 });
    break;
  }
  const byEos = await collect(generate(scriptedModel([4, 5], 9), [1], { now: () => (time += 1) }));
  // Two looks for the prompt, then two around each of the three choices.
  expect(byEos.result).toMatchObject({ prefillMs: 1, decodeMs: 3 });
});

test('timings come from performance.now unless told otherwise', async () => {
  const model = fakeModel({
    onForward: async () => {
      await new Promise((resolve) => setTimeout(resolve, 15));
    },
  });
  const { result } = await collect(generate(model, [1], { maxTokens: 2 }));
  expect(result.prefillMs).toBeGreaterThan(10);
  expect(result.decodeMs).toBeGreaterThan(10);
  expect(result.decodeMs).toBeLessThan(10_000);
});
