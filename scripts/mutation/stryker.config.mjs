/** What Stryker does to one package (MUTATE_PACKAGE); scripts/mutation/run.mjs calls it. */
const name = process.env.MUTATE_PACKAGE;
const files = process.env.MUTATE_FILES?.split(',') ?? ['**/*.ts'];

export default {
  mutate: files.map((file) => `packages/${name}/src/${file}`),
  testRunner: 'vitest',
  plugins: ['@stryker-mutator/vitest-runner'],
  vitest: { configFile: 'scripts/mutation/vitest.config.ts', related: false },
  // Each mutant meets only the tests that reach it.
  coverageAnalysis: 'perTest',
  concurrency: 1,
  // A mutant that loops counts as found this long after half as much again as its tests took at first. Long, so that a
  // machine that is busy for a moment is not taken for a loop.
  timeoutMS: 10_000,
  packageManager: 'pnpm',
  // Stryker rewrites tsconfig.json with the API of TypeScript 5, which TypeScript 7 does not have; vitest needs none.
  tsconfigFile: 'none',
  reporters: ['progress-append-only', 'clear-text', 'json'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false, reportScoreTable: false },
  jsonReporter: { fileName: `.stamps/mutation/${name}.json` },
  tempDirName: `.stamps/mutation/sandbox-${name}`,
  ignorePatterns: ['/.stamps', '/rust-wasm', '/docs', '/apps', '/packages/model-*', '/packages/kernels'],
};
