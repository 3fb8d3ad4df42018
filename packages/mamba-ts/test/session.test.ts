import { fromPretrained, type LocalModel, type MambaModel, type Session } from 'mamba-ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const folder = new URL('../../model-shakespeare/shakespeare-mamba/', import.meta.url);
const settings = { temperature: 0.8, maxTokens: 12, seed: 7 };
const sizesOf = async (session: Session): Promise<{ tokens: number; states: number }> => {
  const { tokens, cache } = await session.stats();
  return { tokens, states: cache.states };
};

describe.each([true, false])('with worker: %s, a session', (worker) => {
  let model: MambaModel;
  let level: number;
  beforeAll(async () => {
    model = await fromPretrained(folder, { worker });
    level = (await model.memory()).state;
  });
  afterAll(() => model.dispose());

  test('answers turn by turn, equal to the same pieces fed by hand', async () => {
    const session = await model.createSession({ settings: { ...settings, temperature: 0 } });
    const first = await session.generate('ROMEO:');
    expect(first.ids).toEqual((await model.generate('ROMEO:', { temperature: 0, maxTokens: 12 })).ids);
    const second = await session.generate('\n\nJULIET:');
    const prompt = [...(await model.tokenize('ROMEO:')), ...first.ids, ...(await model.tokenize('\n\nJULIET:'))];
    expect(second.ids).toEqual((await model.generate(prompt, { temperature: 0, maxTokens: 12 })).ids);
    expect(await session.ids()).toEqual([...prompt, ...second.ids]);
    // The last token of an answer was not read yet.
    expect(second.reusedTokens + second.prefillTokens).toBe(prompt.length);
    expect(second.prefillTokens).toBe(1 + (await model.tokenize('\n\nJULIET:')).length);
    expect(session.turns.map(({ prompt, answer }) => [prompt, answer])).toEqual([
      ['ROMEO:', first.text],
      ['\n\nJULIET:', second.text],
    ]);
    await session.dispose();
    expect((await model.memory()).state).toBe(level);
  });

  test('after undo, the same words give the same tokens, and nothing is read twice', async () => {
    const session = await model.createSession({ system: 'A play.\n\n', settings });
    await session.generate('ROMEO:');
    const before = await session.ids();
    const first = await session.generate('\n\nJULIET:');
    expect((await session.undo())?.answer).toBe(first.text);
    expect(await session.ids()).toEqual(before);
    const again = await session.generate('\n\nJULIET:');
    expect(again.ids).toEqual(first.ids);
    expect(again.prefillTokens).toBe(1);
    await session.undo();
    const other = await session.generate('\n\nJULIET:', { seed: 8 });
    expect(other.ids).not.toEqual(first.ids);
    await session.undo();
    const edited = await session.generate('\n\nNURSE:');
    expect(edited.reusedTokens).toBe(before.length - 1);
    await session.undo();
    await session.undo();
    expect(await session.undo()).toBe(null);
    expect(session.turns).toMatchObject([{ kind: 'system', prompt: 'A play.\n\n', answer: '' }]);
    await session.dispose();
    expect((await model.memory()).state).toBe(level);
  });

  test('where nothing was kept, undo reads again and goes on all the same', async () => {
    const [kept, cold] = [
      await model.createSession({ settings }),
      await model.createSession({ settings, cacheBytes: 0 }),
    ];
    for (const session of [kept, cold]) {
      await session.generate('ROMEO:\nWhat light');
      await session.generate('\n\nJULIET:');
      await session.undo();
    }
    const [one, other] = [await kept.generate('\n\nNURSE:'), await cold.generate('\n\nNURSE:')];
    expect(other.ids).toEqual(one.ids);
    expect(other.reusedTokens).toBe(0);
    expect((await cold.stats()).cache).toEqual({ states: 0, bytes: 0, maxBytes: 0 });
    for (const session of [kept, cold]) await session.dispose();
    expect((await model.memory()).state).toBe(level);
  });

  test('forks go their own ways from the same place', async () => {
    const session = await model.createSession({ settings });
    await session.append('ROMEO:\nBut soft, what light through yonder window');
    const fork = await session.fork();
    const [one, other] = [await session.generate(''), await fork.generate('')];
    expect(other.ids).toEqual(one.ids);
    expect(other.prefillTokens).toBe(1);
    await fork.generate('\n\nJULIET:');
    expect(session.turns.length).toBe(2);
    expect(fork.turns.length).toBe(3);
    // An undone one as well: what is missing is taken from the cache.
    await fork.undo();
    const third = await fork.fork();
    await session.dispose();
    await fork.dispose();
    expect((await third.generate('\n\nNURSE:')).ids.length).toBe(12);
    await third.dispose();
    expect((await model.memory()).state).toBe(level);
    await expect(third.fork()).rejects.toMatchObject({ code: 'DISPOSED' });
  });

  test('saved and loaded it goes on with the same tokens, undoes and asks again without reading', async () => {
    const bias = { 5: Number.NEGATIVE_INFINITY, 6: 0.5 };
    const session = await model.createSession({
      system: 'x',
      settings: { ...settings, stop: '\n\n', logitBias: bias },
    });
    await session.generate('ROMEO:');
    await session.generate('\n\nJULIET:');
    const bytes = await session.save();
    const loaded = await model.loadSession(bytes);
    expect(loaded.turns).toEqual(session.turns);
    expect(loaded.settings).toEqual(session.settings);
    expect(await loaded.ids()).toEqual(await session.ids());
    expect(await loaded.save()).toEqual(bytes);
    const [a, b] = [await session.generate('\n\nROMEO:'), await loaded.generate('\n\nROMEO:')];
    expect([b.ids, b.prefillTokens]).toEqual([a.ids, a.prefillTokens]);
    const again = await model.loadSession(bytes);
    const undone = await again.undo();
    const answer = await again.generate(undone!.prompt);
    expect([answer.text, answer.prefillTokens]).toEqual([undone!.answer, 1]);
    for (const each of [session, loaded, again]) await each.dispose();
    expect((await model.memory()).state).toBe(level);
  });

  test('an abort keeps what was written, and the next answer goes on from there', async () => {
    const session = await model.createSession({ settings: { ...settings, maxTokens: 100_000 } });
    const controller = new AbortController();
    const reason = new Error('enough');
    let seen = '';
    const run = async (): Promise<void> => {
      for await (const piece of session.stream('ROMEO:', { signal: controller.signal })) {
        seen += piece;
        if (seen.length > 20) controller.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
    const [turn] = session.turns;
    expect(turn!.stopReason).toBe('aborted');
    expect(turn!.answer.startsWith(seen)).toBe(true);
    if (!worker) expect(turn!.answer).toBe(seen);
    const ids = await session.ids();
    expect(ids.length).toBe(turn!.promptTokens + turn!.answerTokens);
    const next = await session.generate('', { maxTokens: 5, temperature: 0 });
    expect(next.ids).toEqual((await model.generate(ids, { maxTokens: 5, temperature: 0 })).ids);
    for await (const _ of session.stream('\n\nJULIET:')) break;
    expect(session.turns.at(-1)).toMatchObject({ prompt: '\n\nJULIET:', stopReason: 'aborted' });
    await session.dispose();
    expect((await model.memory()).state).toBe(level);
  });

  test('an abort while it reads keeps the words; they are read before the next answer', async () => {
    const session = await model.createSession({ settings: { ...settings, temperature: 0 } });
    const text = 'But soft, what light through yonder window breaks? '.repeat(120);
    const controller = new AbortController();
    const onProgress = (): void => controller.abort();
    await expect(session.append(text, { signal: controller.signal, onProgress })).rejects.toThrow(/abort/i);
    expect(session.turns).toMatchObject([{ kind: 'text', prompt: text }]);
    const { ids, reusedTokens } = await session.generate('');
    expect(reusedTokens).toBeGreaterThan(0);
    expect(ids).toEqual((await model.generate(text, { ...settings, temperature: 0 })).ids);
    await session.dispose();
  });

  test('a stop text ends the answer, and is part of what was read', async () => {
    const session = await model.createSession({ settings: { ...settings, maxTokens: 300, stop: '\n\n' } });
    await session.generate('ROMEO:');
    const [turn] = session.turns;
    expect(turn!.stopReason).toBe('stop');
    expect(turn!.answer).not.toContain('\n\n');
    expect(turn!.rest.startsWith('\n\n')).toBe(true);
    expect(await model.detokenize(await session.ids())).toBe(turn!.prompt + turn!.answer + turn!.rest);
    await session.dispose();
  });

  test('wrong options and calls are typed errors, and leave it as it was', async () => {
    for (const wrong of [
      { temperature: -1 },
      { topp: 1 },
      { stop: '' },
      { seed: 0.5 },
      { onProgress: 1 },
    ] as object[]) {
      const error = await model.createSession({ settings: wrong }).catch((caught: unknown) => caught);
      expect((error as { code: string }).code).toMatch(/^(INVALID|UNKNOWN)_OPTION$/);
    }
    const session = await model.createSession({ settings });
    await session.generate('ROMEO:');
    const before = await sizesOf(session);
    await expect(session.generate('x', { topP: 2 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(await sizesOf(session)).toEqual(before);
    expect(session.turns.length).toBe(1);
    const controller = new AbortController();
    const running = session.generate('\n\nJULIET:', { maxTokens: 1e6, signal: controller.signal });
    running.catch(() => {});
    for (const call of [
      () => session.undo(),
      () => session.fork(),
      () => session.save(),
      () => session.generate('x'),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'SESSION_BUSY' });
    }
    controller.abort();
    await expect(running).rejects.toThrow(/abort/i);
    await session.dispose();
    await session.dispose();
    expect((await model.memory()).state).toBe(level);
  });

  test('a pass that fails leaves it at the turn before', async () => {
    if (worker) return;
    const session = await model.createSession({ settings });
    await session.generate('ROMEO:');
    const { languageModel } = model as LocalModel;
    const { backend } = languageModel;
    const logits = backend.logits.bind(backend);
    let calls = 0;
    backend.logits = (...args) => {
      if (++calls === 3) throw new Error('the kernel fails');
      return logits(...args);
    };
    await expect(session.generate('\n\nJULIET:')).rejects.toThrow('the kernel fails');
    backend.logits = logits;
    expect(session.turns.length).toBe(1);
    const other = await model.createSession({ settings });
    await other.generate('ROMEO:');
    expect((await session.generate('\n\nNURSE:')).ids).toEqual((await other.generate('\n\nNURSE:')).ids);
    for (const each of [session, other]) await each.dispose();
    expect((await model.memory()).state).toBe(level);
  });
});
