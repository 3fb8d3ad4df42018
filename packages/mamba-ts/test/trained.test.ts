import { createWasmBackend } from '@mamba-ts/kernels';
import { findArchitecture, loadLanguageModel } from '@mamba-ts/layers';
import { memoryFolder, openModel, writeSafetensors } from '@mamba-ts/loaders';
import type { Backend } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import { Tokenizer } from '@mamba-ts/tokenizer';
import { memoryTokens, TrainableModel, Trainer } from '@mamba-ts/train';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { fixtureTensors } from '../../train/test/fixture.ts';

const REMAKE = 'fixtures/trained/ is made by fixtures/trained.py';
const BACKENDS: Readonly<Record<string, () => Promise<Backend>>> = {
  reference: async () => createReferenceBackend(),
  wasm: () => createWasmBackend(),
};

/** A folder that `mamba train` wrote. */
async function opened(arch: string) {
  const names = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'];
  const files: Record<string, Uint8Array> = {};
  for (const name of names) files[name] = await loadFixture(`trained/${arch}/${name}`);
  const model = await openModel(memoryFolder(arch, files));
  const config = model.config as Record<string, unknown>;
  return { ...model, config, files, architecture: await findArchitecture(config) };
}

describe.each(['mamba', 'mamba2', 'mamba3', 'gpt-neox', 'llama'])('a trained %s', (arch) => {
  test.each(Object.keys(BACKENDS))(
    'on %s has the ids and, within 2e-4 of their range, the logits that transformers finds in its folder',
    async (on) => {
      const expected = await fixtureTensors(`trained/${arch}/expected.safetensors`);
      const { architecture, config, weights, files } = await opened(arch);
      const text = new TextDecoder().decode(await loadFixture('trained/text.txt'));
      const tokenizer = Tokenizer.fromJSON(new TextDecoder().decode(files['tokenizer.json']));
      const wanted = [...expected.get('ids')!];
      expect([...tokenizer.encode(text)].slice(0, wanted.length), REMAKE).toEqual(wanted);

      const backend = await BACKENDS[on]!();
      const model = await loadLanguageModel(architecture, config, weights, backend);
      const logits = await model.forward(Int32Array.from(wanted), model.createState(), 'all');
      const oracle = expected.get('logits')!;
      expect(logits.length).toBe(oracle.length);
      const range = oracle.reduce((a, b) => Math.max(a, b)) - oracle.reduce((a, b) => Math.min(a, b));
      const worst = oracle.reduce((most, value, i) => Math.max(most, Math.abs(value - logits[i]!)), 0);
      expect(worst / range, REMAKE).toBeLessThanOrEqual(2e-4);
      backend.dispose();
    },
  );

  test('written again is the same bytes', async () => {
    const { architecture, config, weights, files } = await opened(arch);
    const model = await TrainableModel.load(architecture, config, weights, createReferenceBackend());
    const options = {
      sequences: 1,
      length: 4,
      separator: null,
      seed: 1,
      rate: 0.1,
      warmup: 1,
      shape: 'cosine',
    } as const;
    const trainer = new Trainer(model, memoryTokens(new Int32Array(9)), 2, options);
    const pieces: Uint8Array[] = [];
    for await (const piece of writeSafetensors(trainer.weights(), { format: 'pt' })) pieces.push(piece.slice());
    const bytes = new Uint8Array(await new Blob(pieces as BlobPart[]).arrayBuffer());
    expect(bytes.length).toBe(files['model.safetensors']!.length);
    expect(
      bytes.every((byte, i) => byte === files['model.safetensors']![i]),
      REMAKE,
    ).toBe(true);
  });
});
