import { describe, expect, test } from 'vitest';
import { splitText } from '../src/index.ts';

describe('the validation text', () => {
  test('is the last share of the characters, and both parts make the whole', () => {
    expect(splitText('abcdefghij', 0.2)).toEqual(['abcdefgh', 'ij']);
    expect(splitText('abc', 0)).toEqual(['abc', '']);
    expect(splitText('', 0.1)).toEqual(['', '']);
  });

  test('never begins inside a character of two units', () => {
    expect(splitText('abc🐍d', 0.3)).toEqual(['abc🐍', 'd']);
  });
});
