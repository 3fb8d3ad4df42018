import { defineConfig } from 'vitest/config';

const { MUTATE_PACKAGE, MUTATE_SKIP } = process.env;

/**
 * The tests of one package, in Node: what Stryker runs against each mutant. MUTATE_SKIP, a regular expression, leaves
 * out tests by name: without the slowest a mutant that loops is found sooner, and the score can only fall.
 */
export default defineConfig({
  test: {
    include: [`packages/${MUTATE_PACKAGE}/test/**/*.test.ts`],
    testTimeout: 60_000,
    ...(MUTATE_SKIP ? { testNamePattern: `^(?!.*(?:${MUTATE_SKIP}))` } : {}),
  },
});
