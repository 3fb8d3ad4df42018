import { encodeState } from '@mamba-ts/layers';
import { memoryFolder, memorySource, openModel, openSafetensors, safetensorsWeights } from '@mamba-ts/loaders';
import { decodeToF32 } from '@mamba-ts/tensor';
import { type BackendName, loadLocalModel } from 'mamba-ts';
import { describe, expect, test } from 'vitest';
import { loadFixture } from '../../../fixtures/load.ts';
import { withAdapter } from '../src/adapter.ts';

async function folder(name: string, files: readonly string[]) {
  const held: Record<string, Uint8Array> = {};
  for (const file of files) held[file] = await loadFixture(`${name}/${file}`);
  return memoryFolder(name, held);
}

const opened = async (name: string) => openModel(await folder(name, ['config.json', 'model.safetensors']));
const adapterOf = (name: string) => folder(`adapters/${name}`, ['adapter_config.json', 'adapter_model.safetensors']);

describe('an adapter that PEFT made gives the logits of PEFT within 1e-4', () => {
  const cases = [
    ['mamba', 'mamba/plain'],
    ['gpt_neox', 'gpt_neox/plain'],
    ['llama', 'llama/grouped'],
  ].flatMap(([name, base]) => (['reference', 'wasm-simd'] as const).map((backend) => [name!, base!, backend] as const));
  test.each(cases)('%s on %s, %s', async (name, base, backend: BackendName) => {
    const model = await loadLocalModel(await withAdapter(await opened(base), await adapterOf(name)), { backend });
    const bytes = await loadFixture(`adapters/${name}/expected.safetensors`);
    const file = await openSafetensors(memorySource('expected', bytes));
    const { begin, end } = file.tensors.get('ids')!;
    const ids = [...new Int32Array(bytes.slice(file.dataStart + begin, file.dataStart + end).buffer)];
    const expected: number[] = [];
    for await (const piece of safetensorsWeights([file]).read('logits')) expected.push(...decodeToF32(piece, 'f32'));
    const logits = await model.languageModel.forward(Int32Array.from(ids), model.languageModel.createState(), 'all');
    const most = Math.max(...expected.map((value, i) => Math.abs(value - logits[i]!)));
    expect(logits.length).toBe(expected.length);
    expect(most).toBeLessThanOrEqual(1e-4);
    await model.dispose();
  });

  test('onto another model: ADAPTER_BASE', async () => {
    await expect(withAdapter(await opened('mamba/state-1'), await adapterOf('mamba'))).rejects.toMatchObject({
      code: 'ADAPTER_BASE',
    });
  });
});

describe('a state that every text begins with', () => {
  const load = async (state?: Uint8Array) =>
    loadLocalModel(await opened('mamba/plain'), { backend: 'wasm-simd', ...(state ? { state } : {}) });

  /** A saved state like a tuned one, and what the base makes of two tokens after it. */
  async function tuned(): Promise<{ bytes: Uint8Array; logits: Float32Array }> {
    const { languageModel } = await load();
    const { stateOwner } = languageModel;
    const values = Float32Array.from({ length: stateOwner.layout.length }, (_, i) => Math.sin(i));
    const bytes = encodeState(stateOwner, 0, values);
    return { bytes, logits: await languageModel.forward(Int32Array.of(8, 9), languageModel.loadState(bytes), 'all') };
  }

  test('is that of texts and of scores, window by window', async () => {
    const { bytes, logits } = await tuned();
    const [plain, model] = [await load(), await load(bytes)];
    const read = await model.languageModel.forward(Int32Array.of(8, 9), model.languageModel.createState(), 'all');
    expect(read).toEqual(logits);
    const ids = [8, 9, 10, 11];
    expect((await model.score(ids)).nats).not.toBe((await plain.score(ids)).nats);
    // In windows of two each begins there.
    const windows: Float32Array[] = [];
    await model.score(ids, { window: 2, onLogits: (_, rows) => void windows.push(rows.slice()) });
    expect(windows[0]).toEqual(logits);
  });

  test('what was read from it is another history: STATE_ADAPTER both ways', async () => {
    const { bytes } = await tuned();
    const [plain, model] = [(await load()).languageModel, (await load(bytes)).languageModel];
    const later = async (from: typeof plain): Promise<Uint8Array> => {
      const state = from.createState();
      await from.forward(Int32Array.of(1), state, 'none');
      return state.save();
    };
    const [own, other] = [await later(model), await later(plain)];
    expect(model.loadState(own).position).toBe(1);
    expect(() => plain.loadState(own)).toThrow(expect.objectContaining({ code: 'STATE_ADAPTER' }));
    expect(() => model.loadState(other)).toThrow(expect.objectContaining({ code: 'STATE_ADAPTER' }));
  });

  test('one that has read tokens, one of another model, bytes that are none', async () => {
    const { languageModel } = await load();
    const state = languageModel.createState();
    await languageModel.forward(Int32Array.of(1), state, 'none');
    await expect(load(await state.save())).rejects.toMatchObject({ code: 'STATE_POSITION' });
    const { bytes } = await tuned();
    await expect(loadLocalModel(await opened('mamba/state-1'), { state: bytes })).rejects.toMatchObject({
      code: 'STATE_MODEL',
    });
    await expect(load(Uint8Array.of(1))).rejects.toMatchObject({ code: 'STATE_FORMAT' });
  });
});
