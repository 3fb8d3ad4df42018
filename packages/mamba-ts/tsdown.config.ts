import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: ['src/index.ts', 'src/node.ts', 'src/worker.ts', 'src/node/worker.ts', 'src/node/train-worker.ts'],
  format: 'esm',
  platform: 'neutral',
  dts: { oxc: true },
  fixedExtension: true,
  unbundle: true,
  // In source a worker's address ends in .ts; beside the built files it ends in .mjs.
  plugins: [
    {
      name: 'worker-address',
      transform: (code: string) => code.replace(/new URL\('(\.[^']*worker)\.ts'/g, "new URL('$1.mjs'"),
    },
  ],
});
