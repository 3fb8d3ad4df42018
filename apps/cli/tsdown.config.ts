import { defineConfig } from 'tsdown';

// One bundle with everything inside, so that it starts fast and installs without the packages it is made of; only the
// default model stays a package of its own.
export default defineConfig({
  entry: { cli: 'src/cli.ts', worker: '../../packages/mamba-ts/src/node/worker.ts' },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  dts: false,
  fixedExtension: false,
  external: ['@mamba-ts/model-shakespeare'],
  noExternal: [/^@mamba-ts\//, 'mamba-ts', 'commander', '@huggingface/tokenizers'],
  inlineOnly: false,
  // The bundled kernels look for ../wasm beside the folder they lie in.
  copy: [{ from: '../../packages/kernels/wasm/*.wasm', to: 'wasm' }],
});
