import { createWasmBackend } from '@mamba-ts/kernels';
import {
  type Architecture,
  block,
  gatedMlp,
  loadLanguageModel,
  mamba2Mixer,
  mambaMixerBlock,
  preNorm,
  randomWeights,
  type StackConfig,
  StateLayoutBuilder,
  stackedModel,
} from '@mamba-ts/layers';
import { expect, test } from 'vitest';
import { maxDifference, spread } from './checkpoint.ts';

// Blocks of different kinds in one stack: what hybrids are made of.

const c: StackConfig = {
  vocabSize: 23,
  paddedVocabSize: 24,
  nLayer: 3,
  dModel: 12,
  dIntermediate: 0,
  normEps: 1e-5,
  tieEmbeddings: true,
  eosTokenIds: [],
  bosTokenId: null,
};
const one = {
  dModel: 12,
  dInner: 20,
  dState: 5,
  dConv: 3,
  dtRank: 2,
  bias: false,
  convBias: true,
  selectionNormEps: null,
  selective: true,
};
const two = {
  dModel: 12,
  dInner: 24,
  dSsm: 24,
  heads: 4,
  groups: 2,
  dState: 7,
  dConv: 4,
  bias: true,
  convBias: true,
  skipPerChannel: false,
  dtLimit: [0, Number.POSITIVE_INFINITY],
  norm: 'after',
  mixerNormEps: 1e-5,
} as const;

const mixed: Architecture<null> = {
  modelTypes: ['mixed'],
  recognizes: () => false,
  parseConfig: () => null,
  canonicalName: (name) => name,
  presets: {},
  createModel() {
    const layout = new StateLayoutBuilder();
    return stackedModel('mixed', c, layout, [
      [preNorm('norm.0', c, mambaMixerBlock(one, 'mixer.0', layout, 'layers.0'))],
      [preNorm('norm.1', c, gatedMlp(12, 16, 'mlp.1')), block(null, (ops, _, x) => ops.add(x, x))],
      [preNorm('norm.2', c, mamba2Mixer(two, 'mixer.2', layout, 'layers.2'))],
    ]);
  },
};

test('Mamba-1, an MLP without state and Mamba-2 in one stack: step by step as the whole within 1e-5', async () => {
  const backend = await createWasmBackend();
  const { parameters, state } = mixed.createModel(null);
  const model = await loadLanguageModel(mixed, {}, randomWeights(parameters, 'f32', 5), backend);
  expect(state.fields.map(({ name }) => name)).toEqual([
    'layers.0.conv',
    'layers.0.ssm',
    'layers.2.conv',
    'layers.2.ssm',
  ]);
  const ids = Int32Array.from({ length: 30 }, (_, i) => (i * i) % 23);
  const whole = await model.forward(ids, model.createState(), 'all');
  const stepped = model.createState();
  for (const [i, id] of ids.entries()) {
    const row = whole.subarray(i * 23, (i + 1) * 23);
    const logits = await model.forward(Int32Array.of(id), stepped, 'last');
    expect(maxDifference(logits, row)).toBeLessThanOrEqual(1e-5 * spread(whole));
  }
  const shown = await model.observe(ids, model.createState());
  expect(shown.get('layers.0.delta')!.shape).toEqual([30, 20]);
  expect(shown.get('layers.2.delta')!.shape).toEqual([30, 4]);
  backend.dispose();
});
