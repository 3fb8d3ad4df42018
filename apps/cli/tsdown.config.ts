import { defineConfig } from 'tsdown';

const noExternal = [/^@mamba-ts\//, 'mamba-ts', 'commander', '@huggingface/jinja'];

/** In source a worker's address ends in .ts; beside the bundle it ends in .js. */
const workerAddress = {
  name: 'worker-address',
  transform: (code: string) => code.replace(/new URL\('(\.[^']*worker)\.ts'/g, "new URL('$1.js'"),
};

export default defineConfig([
  {
    // One bundle with everything inside, so that it starts fast and installs without the packages it is made of; only the
    // embedded models stay packages of their own.
    entry: {
      cli: 'src/cli.ts',
      worker: '../../packages/mamba-ts/src/node/worker.ts',
      'chat/node-worker': '../../packages/tokenizer/src/chat/node-worker.ts',
      'llama-cpp-child': 'src/suite/llama-cpp-child.ts',
      'train-worker': '../../packages/mamba-ts/src/node/train-worker.ts',
      'limits-worker': 'src/suite/limits-worker.ts',
    },
    format: 'esm',
    platform: 'node',
    target: 'node22',
    dts: false,
    fixedExtension: false,
    external: ['@mamba-ts/model-shakespeare', '@mamba-ts/model-shakespeare-transformer'],
    noExternal,
    inlineOnly: false,
    plugins: [workerAddress],
    // The bundled kernels look for ../wasm beside the folder they lie in.
    copy: [{ from: '../../packages/kernels/wasm/*.wasm', to: 'wasm' }],
  },
  {
    // What `mamba bench --suite` measures in Chromium.
    entry: { page: 'src/suite/page.ts', 'pool-worker': '../../packages/kernels/src/pool-worker.ts' },
    outDir: 'page',
    format: 'esm',
    platform: 'browser',
    target: 'es2024',
    dts: false,
    fixedExtension: false,
    noExternal,
    inlineOnly: false,
    plugins: [workerAddress],
  },
]);
