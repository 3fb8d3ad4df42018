import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';

/**
 * Hashes what forward and backward of a model give, in a process whose kernels the optimising tier has compiled before
 * they run: the tier below never joins lanes.
 */
function digest(build: string, wide: boolean): { digest: string; joined: boolean } {
  const program = `
    import { createHash } from 'node:crypto';
    import { createWasmTrainingBackend } from '@mamba-ts/kernels';
    import { findArchitecture } from '@mamba-ts/layers';
    import { backpropagate, initialParameters, TrainableModel } from '@mamba-ts/train';
    // Compiling without the lower tier does not keep Node alive.
    const alive = setInterval(() => {}, 1000);
    const config = { model_type: 'mamba', vocab_size: 83, hidden_size: 40, num_hidden_layers: 2, state_size: 16 };
    const architecture = await findArchitecture(config);
    const definition = architecture.createModel(architecture.parseConfig(config));
    const backend = await createWasmTrainingBackend({ build: '${build}', wide: ${wide} });
    const model = await TrainableModel.create(definition, initialParameters(definition.parameters, 1), backend);
    const slot = backend.createSlot(definition.state.length);
    const ids = Int32Array.from({ length: 61 }, (_, i) => (i * i + 3) % 83);
    const segments = [{ start: 0, length: 61, slot, reset: true }];
    await backpropagate(model, { ids, targets: ids, segments }, 1, { dropout: { rate: 0.2, seed: 1, step: 0 } });
    const hash = createHash('sha256');
    for (const name of model.parameters.keys()) hash.update(await model.gradient(name));
    console.log(hash.digest('hex'));
    clearInterval(alive);`;
  const flags = ['--no-liftoff', '--wasm-lazy-compilation', '--trace-wasm-revectorize'];
  const out = execFileSync(process.execPath, [...flags, '--input-type=module', '-e', program], {
    encoding: 'utf8',
    cwd: new URL('../../mamba-ts', import.meta.url),
    maxBuffer: 2 ** 30,
  });
  return { digest: out.trim().split('\n').at(-1)!, joined: /Decided to vectorize/.test(out) };
}

test.each(['simd', 'relaxed'])('the %s build gives the same bits on 8 lanes as on 4', (build) => {
  const [narrow, wide] = [digest(build, false), digest(build, true)];
  expect(wide.digest).toBe(narrow.digest);
  expect(narrow.joined).toBe(false);
  // Where this Node can: on x64 as it is published.
  const { v8_enable_wasm_simd256_revec: able } = { ...process.config.variables } as Record<string, unknown>;
  expect(wide.joined).toBe(process.arch === 'x64' && able === 1);
});
