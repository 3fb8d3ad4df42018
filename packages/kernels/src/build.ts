import { MambaError } from '@mamba-ts/tensor';
import { relaxedSimd } from 'wasm-feature-detect';
import { instantiate, type Kernels, type WasmSource } from './instance.ts';

/**
 * The builds of the kernels, from one source: `simd` for every engine since 2023; `relaxed` with relaxed SIMD, whose
 * multiply-adds round once where the processor can (so the last bits depend on it) and cost half. Safari has none.
 */
export type WasmBuild = 'simd' | 'relaxed';

/** Which build runs, and where its module comes from. */
export interface WasmOptions {
  /** `auto`, the default, takes `relaxed` where the engine has it. */
  readonly build?: WasmBuild | 'auto' | undefined;
  /**
   * The module, where it does not lie beside this package's files: bytes, a compiled module, an address, a response; or
   * a function that gives it for the chosen build.
   */
  readonly wasm?: WasmSource | ((build: WasmBuild) => WasmSource) | undefined;
}

/** In the order of the module's `build()`. */
const BUILDS: readonly WasmBuild[] = ['simd', 'relaxed'];

/** A build that this engine can run. */
async function choose(build: WasmBuild | 'auto'): Promise<WasmBuild> {
  if (build === 'simd') return build;
  const relaxed = await relaxedSimd();
  if (build === 'auto') return relaxed ? 'relaxed' : 'simd';
  if (build !== 'relaxed')
    throw new MambaError('INVALID_OPTION', `build is ${JSON.stringify(build)}, expected auto, ${BUILDS.join(' or ')}`);
  if (!relaxed) {
    throw new MambaError(
      'WASM_UNSUPPORTED',
      'the relaxed build needs WebAssembly relaxed SIMD, which this engine has not (Node 22 and newer, Chrome 114 and ' +
        'Firefox 145 have it). Take the simd build, or auto.',
    );
  }
  return build;
}

/** A fresh instance of the asked build, and which build it is: the module itself says so. */
export async function open(
  { build = 'auto', wasm }: WasmOptions,
  source: (build: WasmBuild) => WasmSource,
): Promise<{ kernels: Kernels; build: WasmBuild }> {
  const given = typeof wasm === 'function' || wasm === undefined ? null : wasm;
  const chosen = given ? build : await choose(build);
  const find = typeof wasm === 'function' ? wasm : source;
  const kernels = await instantiate(given ?? find(chosen as WasmBuild));
  const found = BUILDS[kernels.build()]!;
  if (chosen !== 'auto' && found !== chosen)
    throw new MambaError('INVALID_OPTION', `wasm holds the ${found} build of the kernels, build asks for ${chosen}`);
  return { kernels, build: found };
}
