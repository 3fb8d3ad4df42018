import { defineConfig } from 'vitest/config';

/** The tests of one package, in Node: what Stryker runs against each mutant. */
export default defineConfig({
  test: { include: [`packages/${process.env.MUTATE_PACKAGE}/test/**/*.test.ts`], testTimeout: 60_000 },
});
