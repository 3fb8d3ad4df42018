import { setFlagsFromString } from 'node:v8';

/**
 * Makes V8 join pairs of 4 lanes to 8 (its revectorizer) in what it compiles from now on, in the whole process. False where
 * it cannot: Node was built without it, or the processor is no x64. Of V8 14 on, the first version that was tested.
 */
export function joinLanes(): boolean {
  const variables: Readonly<Record<string, unknown>> = { ...process.config.variables };
  const able = process.arch === 'x64' && variables.v8_enable_wasm_simd256_revec === 1;
  if (!able || Number.parseInt(process.versions.v8, 10) < 14) return false;
  setFlagsFromString('--experimental-wasm-revectorize');
  return true;
}
