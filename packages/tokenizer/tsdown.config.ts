import { defineConfig } from 'tsdown';

export default defineConfig({
  entry: ['src/index.ts', 'src/node.ts', 'src/chat/worker.ts', 'src/chat/node-worker.ts'],
  format: 'esm',
  platform: 'neutral',
  fixedExtension: true,
  dts: { oxc: true },
  unbundle: true,
  // In source a worker's address ends in .ts; beside the built files it ends in .mjs.
  plugins: [
    {
      name: 'worker-address',
      transform: (code: string) => code.replace(/new URL\('(\.[^']*worker)\.ts'/g, "new URL('$1.mjs'"),
    },
  ],
});
