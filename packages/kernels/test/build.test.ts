import { createWasmBackend, measureLimits, type WasmBuild } from '@mamba-ts/kernels';
import { afterEach, expect, test, vi } from 'vitest';
import { BUILDS } from './builds.ts';

afterEach(() => vi.restoreAllMocks());

test.each(BUILDS)('the %s build says that it runs', async (build) => {
  const backend = await createWasmBackend({ build });
  expect(backend.name).toBe(`wasm-${build}`);
  expect(backend.describe()).toMatchObject({ name: `wasm-${build}`, threads: 1 });
  expect(backend.describe().arithmetic.includes('relaxed-simd')).toBe(build === 'relaxed');
  backend.dispose();
});

test('auto takes the relaxed build where the engine has relaxed SIMD, the other where it has not', async () => {
  expect((await createWasmBackend()).name).toBe('wasm-relaxed');
  // As in Safari: the probe of relaxed SIMD is no valid module.
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
  expect((await createWasmBackend({ build: 'auto' })).name).toBe('wasm-simd');
});

test('asked for where the engine has no relaxed SIMD, the relaxed build is refused with WASM_UNSUPPORTED', async () => {
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
  await expect(createWasmBackend({ build: 'relaxed' })).rejects.toMatchObject({ code: 'WASM_UNSUPPORTED' });
  await expect(measureLimits({ build: 'relaxed' })).rejects.toMatchObject({ code: 'WASM_UNSUPPORTED' });
});

test('a name that is no build, and a module that is not the asked build, are refused with INVALID_OPTION', async () => {
  const invalid = { code: 'INVALID_OPTION' };
  await expect(createWasmBackend({ build: 'fast' as WasmBuild })).rejects.toMatchObject(invalid);
  // (module (func (export "build") (result i32) (i32.const 0))): all that a simd build must say.
  const code = '1 5 1 60 0 1 7f 3 2 1 0 7 9 1 5 62 75 69 6c 64 0 0 a 6 1 4 0 41 0 b'.split(' ');
  const simd = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...code.map((byte) => Number.parseInt(byte, 16)));
  await expect(createWasmBackend({ build: 'relaxed', wasm: simd })).rejects.toMatchObject(invalid);
  const asked: WasmBuild[] = [];
  const wasm = (build: WasmBuild): BufferSource => {
    asked.push(build);
    return simd;
  };
  await expect(createWasmBackend({ wasm })).rejects.toMatchObject(invalid);
  expect((await createWasmBackend({ build: 'simd', wasm })).name).toBe('wasm-simd');
  expect((await createWasmBackend({ wasm: simd })).name).toBe('wasm-simd');
  expect(asked).toEqual(['relaxed', 'simd']);
});
