import {
  type ConfigJson,
  findArchitecture,
  type LoadedLanguageModel,
  loadLanguageModel,
  type Observed,
  randomWeights,
} from '@mamba-ts/layers';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { expect, test } from 'vitest';

// Mamba-1 without selection (`selective: false`), the rival that shows what selection is for.

const config = (selective: boolean): ConfigJson => ({
  model_type: 'mamba',
  selective,
  vocab_size: 11,
  hidden_size: 8,
  num_hidden_layers: 2,
  state_size: 3,
  time_step_rank: 2,
});

async function load(json: ConfigJson): Promise<LoadedLanguageModel> {
  const architecture = await findArchitecture(json);
  const { parameters } = architecture.createModel(architecture.parseConfig(json));
  return loadLanguageModel(architecture, json, randomWeights(parameters, 'f32', 3), createReferenceBackend());
}

const rows = ({ shape, values }: Observed): string[] =>
  Array.from({ length: shape[0]! }, (_, t) => values.slice(t * shape[1]!, (t + 1) * shape[1]!).join());

test.each([
  [false, 'are the same for every token'],
  [true, 'differ from token to token'],
])('selective: %s: delta, B and C %s', async (selective) => {
  const model = await load(config(selective));
  const shown = await model.observe(Int32Array.of(4, 1, 9, 2), model.createState());
  for (const layer of [0, 1]) {
    for (const name of ['delta', 'B', 'C']) {
      expect(new Set(rows(shown.get(`layers.${layer}.${name}`)!)).size).toBe(selective ? 4 : 1);
    }
    expect(new Set(rows(shown.get(`layers.${layer}.u`)!)).size).toBe(4);
  }
  model.dispose();
});

test('read in pieces it gives the bits of the text as a whole', async () => {
  const model = await load(config(false));
  const ids = Int32Array.of(4, 1, 9, 2, 2, 7);
  const whole = await model.forward(ids, model.createState(), 'last');
  const state = model.createState();
  await model.forward(ids.subarray(0, 2), state, 'none');
  await model.forward(ids.subarray(2, 5), state, 'none');
  expect(await model.forward(ids.subarray(5), state, 'last')).toEqual(whole);
  model.dispose();
});

test('its config.json says so after a round trip, and that of any other Mamba does not mention it', async () => {
  const architecture = await findArchitecture(config(false));
  expect(architecture.huggingFaceConfig!(config(false))).toHaveProperty('selective', false);
  const { selective: _, ...plain } = config(true);
  expect(architecture.huggingFaceConfig!(plain)).not.toHaveProperty('selective');
});
