import { fileURLToPath } from 'node:url';
import { crc32 } from '@mamba-ts/tensor';
import { fromPretrained, type LocalModel, type Session } from 'mamba-ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeSession, encodeSession, type SessionContent } from '../src/session/file.ts';

const folder = fileURLToPath(new URL('../../model-shakespeare/shakespeare-mamba/', import.meta.url));
const settings = { temperature: 0.8, maxTokens: 12, seed: 7 };

describe('a saved session', () => {
  let model: LocalModel;
  beforeAll(async () => {
    model = (await fromPretrained(folder, { worker: false })) as LocalModel;
  });
  afterAll(() => model.dispose());

  /** The session's content with `change` applied, as a file. */
  const changed = async (bytes: Uint8Array, change: (content: SessionContent) => SessionContent): Promise<Uint8Array> =>
    encodeSession(change(decodeSession(bytes, model.info.vocabSize)));

  test('with wrong settings or states, or of another model, is refused and leaves no state behind', async () => {
    const session = await model.createSession({ settings });
    await session.generate('ROMEO:');
    await session.generate('JULIET:');
    const bytes = await session.save();
    const level = (await model.memory()).state;
    const codeOf = (file: Uint8Array): Promise<string> =>
      model.loadSession(file).then(
        () => 'none',
        ({ code }) => code,
      );
    const settingsOf = (more: object) =>
      changed(bytes, (content) => ({ ...content, settings: { ...content.settings, ...more } }));
    expect(await codeOf(await settingsOf({ temperature: -1 }))).toBe('SESSION_FORMAT');
    expect(await codeOf(await settingsOf({ state: 1 }))).toBe('SESSION_FORMAT');
    expect(await codeOf(await settingsOf({ signal: {} }))).toBe('SESSION_FORMAT');
    const shorter = await changed(bytes, (content) => ({ ...content, turns: content.turns.slice(0, 1) }));
    expect(await codeOf(shorter)).toBe('SESSION_FORMAT');
    const cut = await changed(bytes, ({ states, ...content }) => ({
      ...content,
      states: [states[0]!, states[1]!.slice(9)],
    }));
    expect(await codeOf(cut)).toBe('STATE_FORMAT');
    const fingerprint = (states: readonly Uint8Array[]): Uint8Array[] =>
      states.map((state) => {
        const other = Buffer.from(state);
        other.write('x', other.indexOf('"fingerprint":"') + '"fingerprint":"'.length);
        other.writeUInt32LE(crc32(other.subarray(0, -4)), other.length - 4);
        return other;
      });
    const other = await changed(bytes, (content) => ({ ...content, states: fingerprint(content.states) }));
    expect(await codeOf(other)).toBe('STATE_MODEL');
    expect(await codeOf(bytes.subarray(9))).toBe('SESSION_FORMAT');
    expect((await model.memory()).state).toBe(level);
    await session.dispose();
  });
});

describe('any sequence of calls', () => {
  test.each([1, 2, 3])('leaves a state that has read the ids, and no state behind (seed %i)', async (first) => {
    const model = (await fromPretrained(folder, { worker: false, backend: 'wasm-simd' })) as LocalModel;
    const { languageModel } = model;
    let seed = first;
    const below = (n: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return Math.floor((seed / 2 ** 32) * n);
    };
    const words = ['ROMEO:\n', 'What light?', '', '\n\nNURSE:\nAy, my lady', 'Wherefore art thou? '.repeat(30)];
    // Room for no, two or many states.
    const cacheBytes = [0, 2 * 240_000, 2 ** 28][first % 3]!;
    const sessions: Session[] = [await model.createSession({ system: 'A play.', settings, cacheBytes })];
    for (let step = 0; step < 50; step++) {
      const at = below(sessions.length);
      const session = sessions[at]!;
      const word = words[below(words.length)]!;
      const kind = below(7);
      if (kind === 0 && sessions.length < 6) sessions.push(await session.fork());
      else if (kind === 1) await session.undo();
      else if (kind === 2) sessions[at] = await model.loadSession(await session.save(), { cacheBytes });
      else if (kind === 3) await session.append(word);
      else if (kind === 4) {
        for await (const _ of session.stream(word, { maxTokens: 50 })) if (below(5) === 0) break;
      } else if (kind === 5) {
        const signal = AbortSignal.timeout(below(12));
        await session.generate(word, { maxTokens: 50, signal }).catch((error: unknown) => {
          if (!signal.aborted) throw error;
        });
      } else await session.generate(word, { maxTokens: 1 + below(8), stop: '.' });
      if (sessions[at] !== session) await session.dispose();
      const now = sessions[at]!;
      const ids = await now.ids();
      const text = now.turns.map(({ prompt, answer, rest }) => prompt + answer + rest).join('');
      expect(model.tokenizer.decode(ids)).toBe(text);
      // Reading all anew takes its time.
      if (below(4) > 0) continue;
      const { states } = decodeSession(await now.save(), languageModel.vocabSize);
      const fed = Int32Array.from(ids);
      for (const file of states) {
        const state = languageModel.loadState(file);
        const fresh = languageModel.createState();
        for (let from = 0; from < state.position; from += languageModel.maxChunk) {
          const end = Math.min(state.position, from + languageModel.maxChunk);
          await languageModel.forward(fed.subarray(from, end), fresh, 'none');
        }
        const next = Int32Array.of(1);
        const logits = await languageModel.forward(next, state, 'last');
        const expected = await languageModel.forward(next, fresh, 'last');
        const range = Math.max(...expected) - Math.min(...expected);
        for (const [i, value] of logits.entries()) {
          if (!(Math.abs(value - expected[i]!) <= 1e-5 * range)) expect(value).toBe(expected[i]);
        }
        state.dispose();
        fresh.dispose();
      }
    }
    for (const session of sessions) await session.dispose();
    expect((await model.memory()).state).toBe(0);
    await model.dispose();
  });
});

describe('1,000 forks of a context of 100,000 tokens', () => {
  test('cost 1,000 states and no recomputation', { timeout: 240_000 }, async () => {
    const model = (await fromPretrained(folder, { worker: false })) as LocalModel;
    const sentence = 'ROMEO:\nBut soft, what light through yonder window breaks?\n\n';
    const repeats = Math.ceil(100_000 / (await model.tokenize(sentence)).length);
    const session = await model.createSession({ settings });
    await session.append(sentence.repeat(repeats));
    expect((await session.stats()).tokens).toBeGreaterThanOrEqual(100_000);
    const { languageModel } = model;
    let passes = 0;
    const forwardBatch = languageModel.forwardBatch.bind(languageModel);
    languageModel.forwardBatch = (sequences) => {
      passes++;
      return forwardBatch(sequences);
    };
    const before = (await model.memory()).state;
    const heap = process.memoryUsage();
    const forks: Session[] = [];
    for (let i = 0; i < 1000; i++) forks.push(await session.fork());
    expect(passes).toBe(0);
    expect((await model.memory()).state - before).toBe(1000 * model.info.stateBytes);
    // Ids and texts are shared: what is not state stays far below one copy of the ids per fork (400 MB).
    expect(process.memoryUsage().heapUsed - heap.heapUsed).toBeLessThan(40e6);
    expect((await forks[999]!.generate('JULIET:')).prefillTokens).toBeLessThan(10);
    for (const fork of forks) await fork.dispose();
    await session.dispose();
    expect((await model.memory()).state).toBe(0);
    await model.dispose();
  });
});
