import { expect, test } from 'vitest';
import { StopFilter } from '../src/index.ts';
import { errorOf, randomNumbers } from './helpers.ts';

interface Cut {
  readonly text: string;
  readonly stop: string | null;
}

/** The rule by its definition: at each end of a unit, the longest stop string that ends there. */
function byDefinition(text: string, stops: readonly string[]): Cut {
  for (let end = 1; end <= text.length; end++) {
    const found = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)[0];
    if (found !== undefined) return { text: text.slice(0, end - found.length), stop: found };
  }
  return { text, stop: null };
}

test('equal to the definition for 2,000 random texts, however they are divided, holding back less than a stop string', () => {
  const random = randomNumbers(6);
  const int = (n: number): number => Math.floor(random() * n);
  // Two letters and a pair of surrogates: many partial matches, borders within and between stop strings.
  const word = (length: number): string => Array.from({ length }, () => 'aab🐍'.match(/./gu)![int(4)]).join('');
  let found = 0;
  for (let i = 0; i < 2000; i++) {
    const stops = Array.from({ length: 1 + int(3) }, () => word(1 + int(5)));
    const text = word(int(24));
    const expected = byDefinition(text, stops);
    const filter = new StopFilter(stops);
    const longest = Math.max(...stops.map(({ length }) => length));
    let out = '';
    for (let at = 0; at < text.length; ) {
      const end = Math.min(text.length, at + int(5));
      const piece = filter.push(text.slice(at, end));
      out += piece;
      at = end;
      expect(filter.held.length).toBeLessThan(longest);
      // All that is not held is out, unless it ended.
      if (filter.stop === null) expect(out + filter.held).toBe(text.slice(0, at));
    }
    out += filter.flush();
    expect({ text: out, stop: filter.stop }, `${JSON.stringify(stops)} in ${text}`).toEqual(expected);
    if (filter.stop !== null) found++;
  }
  expect(found).toBeGreaterThan(500);
  expect(found).toBeLessThan(1900);
});

test.each([
  ['the one that is complete first', ['abc', 'ab'], 'xabc', 'x', 'ab'],
  ['the inner one, complete before the outer', ['abcd', 'bc'], 'abcd', 'a', 'bc'],
  ['of two that end together the longest, in either order', ['b', 'ab'], 'xab', 'x', 'ab'],
  ['the same', ['ab', 'b'], 'xab', 'x', 'ab'],
  ['a repeated beginning', 'aab', 'aaab', 'a', 'aab'],
  ['a period', 'ababac', 'abababac', 'ab', 'ababac'],
  ['the whole text', 'ab', 'ab', '', 'ab'],
  ['none', ['q', 'bb'], 'abab', 'abab', null],
  ['no stop string at all', [], 'abab', 'abab', null],
])('finds %s', (_, stops, text, out, stop) => {
  const filter = new StopFilter(stops as string | string[]);
  const pieces = [...text].map((unit) => filter.push(unit));
  expect([pieces.join('') + filter.flush(), filter.stop]).toEqual([out, stop]);
});

test('gives out what can no longer be part of a stop string at once', () => {
  const filter = new StopFilter(['END', 'ELK']);
  expect(filter.push('one E')).toBe('one ');
  expect(filter.held).toBe('E');
  expect(filter.push('E')).toBe('E');
  expect(filter.push('x')).toBe('Ex');
  expect(filter.held).toBe('');
});

test('drops everything after the stop string', () => {
  const filter = new StopFilter('.');
  expect([filter.push('a.b'), filter.push('c'), filter.flush(), filter.held, filter.stop]).toEqual([
    'a',
    '',
    '',
    '',
    '.',
  ]);
});

test('flush ends the text: what was held back is no beginning for what follows', () => {
  const filter = new StopFilter('ab');
  expect([filter.push('xa'), filter.flush(), filter.held]).toEqual(['x', 'a', '']);
  expect([filter.push('b'), filter.stop]).toEqual(['b', null]);
});

test('its time does not depend on how often a beginning repeats: 20,000 units against 256 strings of 4,096', () => {
  const stops = Array.from({ length: 256 }, (_, i) => `${'a'.repeat(4095 - i)}b${'a'.repeat(i)}`);
  const filter = new StopFilter(stops);
  const started = performance.now();
  for (let i = 0; i < 2; i++) filter.push('a'.repeat(10_000));
  expect(filter.held.length).toBe(4095);
  expect(performance.now() - started).toBeLessThan(15_000);
}, 60_000);

test.each([
  ['an empty string', '', '1 to 4096'],
  ['one among others', ['a', ''], '1 to 4096'],
  ['a string over 4096 units', 'a'.repeat(4097), '1 to 4096'],
  ['half a character', '\ud83d', 'well-formed'],
  ['the other half', ['\udc0d!'], 'well-formed'],
  ['a number in the list', [3], 'well-formed strings'],
  ['a number', 3, 'a string or a list of at most 256 strings, but is 3;'],
  ['null', null, 'a string or a list'],
  ['more than 256 strings', Array(257).fill('a'), 'a string or a list of at most 256 strings, but is 257;'],
])('refuses %s', async (_, stop, message) => {
  const error = await errorOf(() => new StopFilter(stop as string));
  expect(error.code).toBe('INVALID_OPTION');
  expect(error.message).toContain(message);
  expect(error.details.option).toBe('stop');
});

test('takes what is just allowed', () => {
  expect(new StopFilter('a'.repeat(4096)).stop).toBe(null);
  expect(new StopFilter(Array(256).fill('🐍')).push('x🐍')).toBe('x');
});
