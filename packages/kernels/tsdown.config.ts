import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: ['src/index.ts', 'src/node.ts', 'src/pool-worker.ts'],
  format: 'esm',
  platform: 'neutral',
  dts: { oxc: true },
  fixedExtension: true,
  // In source the worker's address ends in .ts; beside the built files it ends in .mjs.
  plugins: [
    {
      name: 'worker-address',
      transform: (code: string) => code.replace("new URL('./pool-worker.ts'", "new URL('./pool-worker.mjs'"),
    },
  ],
});
