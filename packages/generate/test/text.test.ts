import { describe, expect, test } from 'vitest';
import { generateText, type StreamingDecoder, type TextOptions } from '../src/index.ts';
import { collect, fakeModel, scriptedModel } from './fake-model.ts';
import { randomNumbers } from './helpers.ts';

/** Ids are bytes of UTF-8. */
function byteDecoder(): StreamingDecoder {
  const decoder = new TextDecoder();
  return {
    push: (id) => decoder.decode(Uint8Array.of(id), { stream: true }),
    flush: () => decoder.decode(),
  };
}

/** Ids are places in a list of words. */
const wordDecoder = (words: readonly string[]): StreamingDecoder => ({ push: (id) => words[id]!, flush: () => '' });

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];

/** What a model that says these bytes gives. */
function say(bytes: readonly number[], options: TextOptions = {}): ReturnType<typeof collectText> {
  return collectText(bytes, options);
}
async function collectText(bytes: readonly number[], options: TextOptions) {
  const model = scriptedModel(bytes, 256);
  const { items, result } = await collect(generateText(model, [0], byteDecoder(), options));
  return { pieces: items, result, alive: model.alive, calls: model.calls.length };
}

const halves = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\ufffd/;

describe('pieces', () => {
  test('are whole characters, never empty, and joined they are the text', async () => {
    const text = 'naïve 🐍🐍 e\u0301 👩‍👩‍👧 中文';
    const { pieces, result, alive } = await say(bytesOf(text));
    expect(pieces).toEqual(Array.from(text));
    expect(result).toMatchObject({ text, stop: null, stopReason: 'eos', stopId: 256, ids: bytesOf(text) });
    expect(result.pendingIds).toEqual([]);
    expect(alive).toBe(0);
  });

  test('a character that never ends comes as U+FFFD at the end, once', async () => {
    const { pieces, result } = await say([0x61, ...bytesOf('🐍').slice(0, 3)]);
    expect(pieces).toEqual(['a', '\ufffd']);
    expect(result.text).toBe('a\ufffd');
    const cut = await say(bytesOf('a🐍b'), { maxTokens: 3 });
    expect(cut.pieces).toEqual(['a', '\ufffd']);
    expect(cut.result).toMatchObject({ stopReason: 'length', text: 'a\ufffd', pendingIds: [bytesOf('🐍')[1]] });
  });

  test('no text at all: no piece', async () => {
    const { pieces, result } = await say([]);
    expect([pieces, result.text, result.stopReason, result.stop]).toEqual([[], '', 'eos', null]);
  });
});

describe('stop strings', () => {
  test('end the text before them, also across tokens; the ids go to the one that completed it', async () => {
    const { pieces, result, calls, alive } = await say(bytesOf('one END two'), { stop: 'END' });
    expect(pieces.join('')).toBe('one ');
    expect(result).toMatchObject({ text: 'one ', stop: 'END', stopReason: 'stop', stopId: null });
    expect(result.ids).toEqual(bytesOf('one END'));
    expect(result.pendingIds).toEqual(bytesOf('D'));
    // The token that completed it was not fed.
    expect(calls).toBe(7);
    expect(alive).toBe(0);
  });

  test('inside one token: what follows in the token is dropped, what precedes is given', async () => {
    const words = ['', 'He said. Then', ' more'];
    const { items, result } = await collect(
      generateText(scriptedModel([1, 2], 3), [0], wordDecoder(words), { stop: ['Th', '. '] }),
    );
    expect(items).toEqual(['He said']);
    expect(result).toMatchObject({ text: 'He said', stop: '. ', ids: [1], stopReason: 'stop' });
  });

  test('across the border of two tokens, inside both', async () => {
    const words = ['', 'a\n', '\nb'];
    const { items, result } = await collect(
      generateText(scriptedModel([1, 2], 3), [0], wordDecoder(words), { stop: '\n\n' }),
    );
    expect(items).toEqual(['a']);
    expect(result).toMatchObject({ text: 'a', stop: '\n\n', ids: [1, 2] });
  });

  test('of characters that come in halves', async () => {
    // The snake and the tiger share their first three bytes.
    const { pieces, result } = await say(bytesOf('x🐯🐍y'), { stop: ['🐍'] });
    expect(pieces).toEqual(['x', '🐯']);
    expect(result).toMatchObject({ text: 'x🐯', stop: '🐍', ids: bytesOf('x🐯🐍') });
  });

  test('that are completed only when the unfinished rest is decoded', async () => {
    const { pieces, result } = await say([0x61, 0xf0, 0x9f], { stop: 'a\ufffd' });
    expect(pieces).toEqual([]);
    expect(result).toMatchObject({ text: '', stop: 'a\ufffd', stopReason: 'stop', stopId: 256 });
  });

  test('whose beginning ends the text: it is given at the end', async () => {
    const { pieces, result } = await say(bytesOf('so EN'), { stop: 'END' });
    expect(pieces).toEqual(['s', 'o', ' ', 'EN']);
    expect(result).toMatchObject({ text: 'so EN', stop: null, stopReason: 'eos' });
    const cut = await say(bytesOf('so END'), { stop: 'END', maxTokens: 5 });
    expect(cut.result).toMatchObject({ text: 'so EN', stop: null, stopReason: 'length' });
  });

  test('cut 300 random texts as their definition says, never in the middle of a character', async () => {
    const random = randomNumbers(8);
    const letters = ['a', 'b', 'é', '🐍', '🐯'];
    const word = (length: number): string =>
      Array.from({ length }, () => letters[Math.floor(random() * letters.length)]).join('');
    for (let i = 0; i < 300; i++) {
      const text = word(20);
      const stops = [word(1 + Math.floor(random() * 3)), word(2)];
      const { pieces, result } = await say(bytesOf(text), { stop: stops });
      const ends = stops.map((stop) =>
        text.includes(stop) ? text.indexOf(stop) + stop.length : Number.POSITIVE_INFINITY,
      );
      const end = Math.min(...ends);
      const stop = stops.filter((_, n) => ends[n] === end).sort((a, b) => b.length - a.length)[0]!;
      const expected = end === Number.POSITIVE_INFINITY ? text : text.slice(0, end - stop.length);
      expect(pieces.join(''), `${stops} in ${text}`).toBe(expected);
      expect(result.text).toBe(expected);
      expect(result.stop).toBe(end === Number.POSITIVE_INFINITY ? null : stop);
      for (const piece of pieces) expect(piece).not.toMatch(halves);
      for (const piece of pieces) expect(piece).not.toBe('');
    }
  });
});

test('own stopWhen still counts, sees every token, and what is held back is given', async () => {
  const seen: number[] = [];
  const { pieces, result } = await say(bytesOf('abEN'), {
    stop: 'END',
    stopWhen: ({ id }) => {
      seen.push(id);
      return id === 0x45;
    },
  });
  expect(seen).toEqual(bytesOf('abE'));
  expect(pieces).toEqual(['a', 'b', 'E']);
  expect(result).toMatchObject({ stopReason: 'stop', stop: null, text: 'abE' });
});

test('all other options reach generate', async () => {
  const model = fakeModel();
  const state = model.createState();
  const { result } = await collect(
    generateText(model, [1, 2], byteDecoder(), { state, maxTokens: 3, temperature: 1, seed: 5, stopIds: [22] }),
  );
  expect([result.prefillTokens, result.ids.length, model.alive]).toEqual([2, 3, 1]);
});

describe('nothing is left behind', () => {
  test('when the consumer leaves early, or before the start', async () => {
    const model = fakeModel({ vocabSize: 128 });
    for await (const _ of generateText(model, [1], byteDecoder())) break;
    expect([model.alive, model.calls.length]).toEqual([0, 1]);
    await generateText(model, [1], byteDecoder()).return(undefined as never);
    expect([model.alive, model.calls.length]).toEqual([0, 1]);
  });

  test('when the signal fires: its reason comes through, no further token is read', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const model = fakeModel({ vocabSize: 128 });
    const run = async (): Promise<void> => {
      for await (const _ of generateText(model, [1], byteDecoder(), { signal: controller.signal })) {
        controller.abort(reason);
      }
    };
    await expect(run()).rejects.toBe(reason);
    expect([model.alive, model.calls.length]).toEqual([0, 1]);
  });

  test('when the decoder fails', async () => {
    const boom = new Error('boom');
    const fail = (): never => {
      throw boom;
    };
    for (const decoder of [
      { push: fail, flush: () => '' },
      { push: () => '', flush: fail },
    ]) {
      const model = fakeModel();
      await expect(collect(generateText(model, [1], decoder, { maxTokens: 2 }))).rejects.toBe(boom);
      expect(model.alive).toBe(0);
    }
  });
});
