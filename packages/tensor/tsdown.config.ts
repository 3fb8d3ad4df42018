import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'reference/index': 'src/reference/index.ts',
    'testing/index': 'src/testing/index.ts',
  },
  format: 'esm',
  platform: 'neutral',
  fixedExtension: true, // .mjs and .d.mts, as package.json names them
  // By oxc from the explicit types on every export: TypeScript 7 has no compiler API that the bundler could call.
  dts: { oxc: true },
});
