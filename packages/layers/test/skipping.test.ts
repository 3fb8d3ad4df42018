import { findArchitecture, type LoadedLanguageModel, loadLanguageModel } from '@mamba-ts/layers';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';
import { openFixture, valuesOf } from './checkpoint.ts';

async function load(name: string, skipBelow?: number): Promise<LoadedLanguageModel> {
  const { config, weights } = await openFixture(name);
  return loadLanguageModel(await findArchitecture(config), config, weights, createReferenceBackend(), { skipBelow });
}

/** Logits and the state after a few tokens. */
async function run(model: LoadedLanguageModel): Promise<{ logits: Float32Array; values: Float32Array }> {
  const state = model.createState();
  const logits = await model.forward(Int32Array.of(1, 2, 3, 4), state, 'last');
  return { logits, values: await valuesOf(model, state) };
}

test.each(['plain', 'mamba2/groups'])('%s: nothing below next to nothing, all below all', async (name) => {
  const exact = await run(await load(name));
  const model = await load(name, 1e-30);
  expect(await run(model)).toEqual(exact);
  expect(model.skipping).toMatchObject({ below: 1e-30, skipped: 0 });
  const still = await load(name, 1e30);
  const { values } = await run(still);
  expect(still.skipping!.updates).toBe(model.skipping!.updates);
  expect(still.skipping!.skipped).toBe(still.skipping!.updates);
  for (const { name: field, offset, shape } of still.stateOwner.layout.fields) {
    const part = values.subarray(offset, offset + shape.reduce((product, axis) => product * axis, 1));
    expect(
      part.some((x) => x !== 0),
      field,
    ).toBe(!field.endsWith('ssm'));
  }
});

test.each(['mamba3/siso', 'gpt_neox/plain'])('%s has no updates to skip: SKIP_MODEL', async (name) => {
  await expect(load(name, 1e-3)).rejects.toMatchObject({ code: 'SKIP_MODEL' });
});
