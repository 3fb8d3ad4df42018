import { encodeState } from '@mamba-ts/layers';
import { fromPretrained, loadLocalModel, openNodeSource } from 'mamba-ts/node';
import { expect, test } from 'vitest';

const fixture = (name: string): URL => new URL(`../../../fixtures/${name}`, import.meta.url);
const base = fixture('mamba/plain');

test('fromPretrained takes an adapter and a state, and hands them to its worker', async () => {
  const adapter = fixture('adapters/mamba');
  const ids = Array.from({ length: 12 }, (_, i) => (7 * i * i + 3) % 97);
  const own = await loadLocalModel(await openNodeSource(base.href, { adapter: adapter.href }));
  const { stateOwner } = own.languageModel;
  const state = encodeState(stateOwner, 0, new Float32Array(stateOwner.layout.length).fill(0.5));
  const nats: number[] = [];
  for (const options of [{}, { adapter }, { adapter, state }]) {
    const found: number[] = [];
    for (const worker of [true, false]) {
      const model = await fromPretrained(base, { ...options, worker, threads: 1 });
      expect(model.info.name).toBe('adapter' in options ? 'plain+mamba' : 'plain');
      expect(model.info.backend.threads).toBe(1);
      found.push((await model.score(ids)).nats);
      await model.dispose();
    }
    expect(found[0]).toBe(found[1]);
    nats.push(found[0]!);
  }
  expect(new Set(nats).size).toBe(3);
  await own.dispose();
});
