// `pnpm build:wasm`: rebuilds the committed .wasm files from rust-wasm/ and records their hashes.
import { buildAll, ensureTools, output, recordHashes } from './wasm-builds.mjs';

ensureTools();
buildAll(output);
recordHashes();
