import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AddedTokenMatcher } from '../src/added-tokens.ts';
import { tokenBytes } from '../src/bytes.ts';
import { MergeTable, mergeSymbols } from '../src/merges.ts';
import { normalizeNfc } from '../src/normalize.ts';
import { splitGpt2, splitLlama3 } from '../src/split.ts';

function pieces(split: typeof splitGpt2, text: string): string[] {
  const out: string[] = [];
  split(text, (start, end) => {
    out.push(text.slice(start, end));
  });
  return out;
}

describe('merges', () => {
  /** The definition: again and again the leftmost pair of lowest rank. */
  function naive(ids: number[], rules: number[][]): number[] {
    const symbols = [...ids];
    for (;;) {
      let best = { rank: rules.length, at: -1 };
      for (let at = 0; at + 1 < symbols.length; at++) {
        const rank = rules.findLastIndex(([left, right]) => left === symbols[at] && right === symbols[at + 1]);
        if (rank >= 0 && rank < best.rank) best = { rank, at };
      }
      if (best.at < 0) return symbols;
      symbols.splice(best.at, 2, rules[best.rank]![2]!);
    }
  }

  test('heap and linked list equal the naive definition, 1,000 random vocabularies', () => {
    // Rule i makes the new id 4 + i from two ids that exist before it, as training does.
    const rules = fc
      .array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 })
      .map((pairs) => pairs.map(([a, b], i) => [a % (4 + i), b % (4 + i), 4 + i]));
    fc.assert(
      fc.property(rules, fc.array(fc.nat(3), { maxLength: 60 }), (merges, ids) => {
        const column = (i: number): Int32Array => Int32Array.from(merges, (rule) => rule[i]!);
        const symbols = Int32Array.from(ids);
        const count = mergeSymbols(symbols, ids.length, new MergeTable(column(0), column(1), column(2)));
        expect([...symbols.subarray(0, count)]).toEqual(naive(ids, merges));
      }),
      { numRuns: 1000 },
    );
  });

  test('a pair without a rule, below, between and above those with one', () => {
    const table = new MergeTable(Int32Array.of(2, 2, 2), Int32Array.of(5, 9, 5), Int32Array.of(10, 11, 12));
    expect([table.rank(2, 5), table.rank(2, 9)]).toEqual([2, 1]);
    for (const [left, right] of [
      [0, 5],
      [1, 5],
      [2, 4],
      [2, 6],
      [2, 10],
      [3, 5],
      [2 ** 24 - 1, 5],
    ]) {
      // biome-ignore format: pairs
      expect(table.rank(left!, right!)).toBe(-1);
    }
    expect(new MergeTable(new Int32Array(0), new Int32Array(0), new Int32Array(0)).rank(0, 0)).toBe(-1);
  });
});

describe('NFC', () => {
  const OLD = 'aeoAEO<>= \u0301\u0300\u0316\u0327\u0345\u0334éçÅ가각각क\u093cख़\u0f71\u0f72\u0f73か\u3099が中😀豈𝅗𝅥';

  test('equals the engine on characters as old as the tables, long runs of marks included', () => {
    const text = fc.array(fc.constantFrom(...OLD), { maxLength: 80 }).map((characters) => characters.join(''));
    const marks = fc.array(fc.constantFrom(...'\u0301\u0300\u0316\u0327\u0345\u0334\u0f71\u0f72\u0f73\u0344'), {
      maxLength: 120,
    });
    fc.assert(
      fc.property(text, marks, text, (before, run, after) => {
        const whole = before + run.join('') + after;
        expect(normalizeNfc(whole)).toBe(whole.normalize('NFC'));
      }),
      { numRuns: 2000 },
    );
  });

  test('characters newer than the tables of the oracle stay as they are', () => {
    for (const text of ['a\u1abf\u0334', '\u{105d2}\u0307', '\u{16d68}\u{16d67}']) {
      expect(normalizeNfc(text)).toBe(text);
    }
  });
});

describe('splitting', () => {
  test('U+FEFF is no white space and U+0085 is, in contrast to JavaScript', () => {
    expect(pieces(splitGpt2, ' \ufeff a')).toEqual([' \ufeff', ' a']);
    expect(pieces(splitGpt2, 'a\u0085\u0085b')).toEqual(['a', '\u0085', '\u0085', 'b']);
  });

  test('equals the pattern, run by the engine, on characters on which both agree', () => {
    const gpt2 = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
    const llama3 =
      /'(?:[sS\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+/gu;
    const text = fc.array(fc.constantFrom(..."'''sStTrReEvVmMlLdDſ  \n\r\t\u00a0\u3000019٣aé中!?-😀𝕏𝟘\u0301"), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(text, (characters) => {
        const joined = characters.join('');
        expect(pieces(splitGpt2, joined)).toEqual(joined.match(gpt2) ?? []);
        expect(pieces(splitLlama3(3), joined)).toEqual(joined.match(llama3) ?? []);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('added tokens', () => {
  const token = (content: string, id: number, over: object = {}) =>
    [
      content,
      { id, content, singleWord: false, lstrip: false, rstrip: false, normalized: false, special: false, ...over },
    ] as const;

  function found(matcher: AddedTokenMatcher, text: string): (string | number)[] {
    const out: (string | number)[] = [];
    matcher.split(text, (piece) => out.push(piece), (id) => out.push(id)); // biome-ignore format: one line
    return out;
  }

  test('leftmost, then longest', () => {
    const matcher = new AddedTokenMatcher([token('ab', 1), token('abcd', 2), token('bc', 3)]);
    expect(found(matcher, 'xabcabcdbc')).toEqual(['x', 1, 'c', 2, 3]);
  });

  test('white space beside lstrip and rstrip goes, and a token within it brings back the rest, as in Python', () => {
    const matcher = new AddedTokenMatcher([
      token('L', 1, { lstrip: true }),
      token('R', 2, { rstrip: true }),
      token('\t', 3),
    ]);
    expect(found(matcher, 'a \n L bR  \u3000cR \t x')).toEqual(['a', 1, ' b', 2, 'c', 2, 3, ' x']);
  });

  test('a million space tokens with rstrip, each reaching to the end, take less than 2 s', () => {
    const matcher = new AddedTokenMatcher([token(' ', 1, { rstrip: true })]);
    const start = performance.now();
    expect(found(matcher, ' '.repeat(1e6)).length).toBe(1e6);
    expect(performance.now() - start).toBeLessThan(2000);
  });
});

test('bytes: a token outside the byte alphabet stands for its own UTF-8', () => {
  expect([...tokenBytes('Ġé')]).toEqual([0x20, 0xe9]);
  expect(new TextDecoder().decode(tokenBytes('  é'))).toBe('  é');
});
