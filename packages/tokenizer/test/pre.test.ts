import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { byteLevel, KINDS } from '../src/gguf-pre-tokenizers.ts';
import { parsePreTokenizer } from '../src/parse-components.ts';
import { splitterOfClass } from '../src/split-class.ts';

const REMAKE = 'remake with: python fixtures/pre_tokenizers.py (pip install -r fixtures/requirements-tokenizer.txt)';
const COUNT = 3000;

const split = (Regex: string): object => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const after = (...steps: object[]): object => ({ type: 'Sequence', pretokenizers: [...steps, byteLevel(false)] });
/** What is no name of GGUF's. */
const OTHERS: Readonly<Record<string, object>> = {
  Digits: after({ type: 'Digits', individual_digits: false }),
  'line ends': after(split('\\s+$')),
  classes: after(split(' ?[^\\s\\p{L}!-/]{1,3}')),
};

const [names, ...golden] = new TextDecoder()
  .decode(await loadFixture('tokenizer/pre.jsonl'))
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line)) as [string[], ...[string, ...(string | null)[]][]];

function piecesOf(json: unknown, text: string): string[] {
  const pieces: string[] = [];
  parsePreTokenizer(json).preTokenize(text, 'first', (piece) => pieces.push(piece));
  return pieces;
}

describe('as Python tokenizers cuts texts', () => {
  test.each(names.map((name, column) => [name, column] as const))(`%s: ${COUNT} random texts`, (name, column) => {
    const json = OTHERS[name] ?? KINDS.find((kind) => kind.names.includes(name))!.json;
    const misses = golden.filter(([text, ...cuts]) => {
      const expected = cuts.slice(0, column + 1).findLast((cut) => cut !== null)!;
      const pieces = piecesOf(json, text);
      const cut = pieces.map((piece) => [...piece].length.toString(36)).join('.');
      return cut !== expected || pieces.join('') !== text;
    });
    expect(misses.map(([text]) => text).slice(0, 5), REMAKE).toEqual([]);
    expect(golden.length).toBe(COUNT);
  });

  test('every kind of GGUF is among these, and no name means two', () => {
    const all = KINDS.flatMap((kind) => kind.names);
    expect(new Set(all).size).toBe(all.length);
    for (const kind of KINDS)
      expect(
        names.some((name) => kind.names.includes(name)),
        kind.names[0],
      ).toBe(true);
  });
});

describe('patterns of one class', () => {
  test.each([
    '(a+)+$',
    'a+',
    '[a-z]*',
    '[a-z]{2,3}',
    '[a-z]{1,0}',
    '[z-a]+',
    '[a-\\p{L}]+',
    '[\\w]+',
    '[[a]b]+',
    '[a&&b]+',
    '[]+',
    '[a',
    '\\p{Lu}+',
    '[a]+$',
    '\\s?\\s?[a]',
    `[${'a'.repeat(3000)}]`,
  ])('%s is none that is read', (pattern) => {
    expect(splitterOfClass(pattern)).toBeUndefined();
  });

  test('a pattern of brackets takes no time', () => {
    const began = performance.now();
    for (const pattern of [`[${'\\'.repeat(2040)}`, '['.repeat(2048), `${'[a]'.repeat(600)}x`])
      splitterOfClass(pattern);
    expect(performance.now() - began).toBeLessThan(200);
  });

  test.each(KINDS.map((kind) => [kind.names[0], kind.json] as const))('%s: 300,000 characters', (_, json) => {
    const began = performance.now();
    for (const part of ['a', ' ', '\n', '1', '!', '\u0301', '\u4e00', ' \n', "'s", '\x01']) {
      expect(piecesOf(json, part.repeat(300_000 / part.length)).join('').length).toBe(300_000);
    }
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
