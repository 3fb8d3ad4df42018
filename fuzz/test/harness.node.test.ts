import { describe, expect, test } from 'vitest';
import { examineAll } from '../alone.ts';
import { fuzz, mutantOf, type Target, verdict } from '../fuzz.ts';
import { parseTree, printTree } from '../json-tree.ts';
import { minimise } from '../minimise.ts';
import { jobs, runPool } from '../pool.ts';
import { truncate } from '../truncate.ts';
import { DEED, target } from './broken.ts';

const MUTANTS = 24;
const SEED = 14;
const deedOf = (index: number): number => mutantOf(target, SEED, index).file[0]!;
const indexesOf = (deed: number): number[] => [...Array(MUTANTS).keys()].filter((index) => deedOf(index) === deed);

describe('the harness sees what a reader must not do', () => {
  test('a hang, a crash, errors without a code or with another one; the rest of the job is done all the same', async () => {
    for (const deed of Object.values(DEED)) expect(indexesOf(deed), `deed ${deed}`).not.toEqual([]);
    const tally = await runPool(target.name, jobs(MUTANTS), { seed: SEED, workers: 2, hangMs: 5000 });
    expect(tally.mutants).toBe(MUTANTS);
    const failed = (kind: string): number[] =>
      tally.failures.flatMap((failure) => (failure.kind === kind ? [failure.index] : [])).sort((a, b) => a - b);
    expect(failed('hang')).toEqual(expect.arrayContaining(indexesOf(DEED.hang)));
    expect(failed('crash')).not.toEqual([]);
    // Filling the memory may take longer than the time limit where other programs run: killed either way.
    const killed = [...failed('hang'), ...failed('crash')].sort((a, b) => a - b);
    expect(killed).toEqual([...indexesOf(DEED.hang), ...indexesOf(DEED.crash)].sort((a, b) => a - b));
    // What a thread had done when it broke is counted without figures, so of the typed failures some are lost to it.
    for (const index of failed('untyped')) expect([DEED.untyped, DEED.undeclared]).toContain(deedOf(index));
    expect(verdict(target, tally).join('\n')).toContain('not done after 5000 ms');
  }, 120_000);

  test('errors without a code, and codes that are not declared', async () => {
    const calm = [DEED.fine, DEED.refused, DEED.untyped, DEED.undeclared] as const;
    const tame: Target = { ...target, mutate: (random) => Uint8Array.of(random.pick(calm), 1) };
    const tally = await fuzz(tame, SEED, 0, 40);
    expect(tally.codes).toEqual({
      accepted: expect.any(Number),
      EXPECTED: expect.any(Number),
      UNTYPED: expect.any(Number),
      UNEXPECTED: expect.any(Number),
    });
    expect(tally.failures.length).toBe(tally.codes.UNTYPED! + tally.codes.UNEXPECTED!);
    expect(verdict(tame, { ...tally, failures: [], codes: { accepted: 1 } })).toEqual([
      'these codes never came: EXPECTED',
    ]);
    expect(verdict(tame, { ...tally, failures: [], structural: 30 })[0]).toContain('change the structure');
  });

  test('over 100 ms or 64 MB in three runs alone', () => {
    const kinds = (deed: number): string[] =>
      examineAll(target, SEED, indexesOf(deed).slice(0, 1)).map(({ kind }) => kind);
    expect(kinds(DEED.fine)).toEqual([]);
    expect(kinds(DEED.slow)).toEqual(['slow']);
    expect(kinds(DEED.greedy)).toEqual(['memory']);
  }, 120_000);

  test('a cut file that is accepted', async () => {
    const tally = await truncate(target, Uint8Array.of(DEED.fine, 0, 0));
    expect(tally.failures.map(({ index }) => index)).toEqual([1, 2]);
  });

  test('a failing file is made smaller', async () => {
    expect([...(await minimise(target, Uint8Array.of(DEED.untyped, ...Array(99).fill(7))))]).toEqual([DEED.untyped]);
  });
});

describe('JSON trees', () => {
  test('keep order, duplicates and spellings, at any depth', () => {
    const text = '{"a":01,"a":[NaN,"\\"]",-1e999],"":{}}';
    const tree = parseTree(` ${text.replaceAll(',', ' ,\n')} `)!;
    expect(printTree(tree.root)).toBe(text);
    expect(tree.canonical).toBe(text);
    expect(parseTree('['.repeat(1e5) + ']'.repeat(1e5))?.canonical.length).toBe(2e5);
  });

  test.each(['', '{', '}', '[1,]', '{"a"}', '{"a":}', '{a:1}', '[1 2]', '1 2', '[}', '{"a":1,}', ',', '[,1]'])(
    '%j is none',
    (text) => expect(parseTree(text)).toBeNull(),
  );
});
