import { modelUrl } from '@mamba-ts/model-shakespeare';
import { createBackend, fromPretrained } from 'mamba-ts';
import { expect, test } from 'vitest';

test('the embedded model continues a text by the same ids on one thread, on two and on the default', async () => {
  const texts = [];
  for (const options of [{ threads: 1 }, { threads: 2 }, {}] as const) {
    const model = await fromPretrained(modelUrl, { ...options, worker: false });
    const { threads } = model.info.backend;
    if ('threads' in options) expect(threads).toBe(options.threads);
    const { ids } = await model.generate('ROMEO: wherefore art thou silent, good friend, and what', {
      maxTokens: 60,
      temperature: 0,
    });
    texts.push(ids);
    await model.dispose();
  }
  expect(texts[0]).toHaveLength(60);
  expect(texts[1]).toEqual(texts[0]);
  expect(texts[2]).toEqual(texts[0]);
});

test.each([1, 3])('a worker takes the number of threads, too: %d', async (threads) => {
  const model = await fromPretrained(modelUrl, { threads });
  expect(model.info.backend.threads).toBe(threads);
  const { ids } = await model.generate('ROMEO:', { maxTokens: 4, temperature: 0 });
  expect(ids).toHaveLength(4);
  await model.dispose();
});

test('threads reach a backend by any name; the reference has one', async () => {
  for (const [name, threads] of [
    ['wasm-simd', 2],
    ['reference', 1],
  ] as const) {
    const backend = await createBackend(name, 2);
    expect(backend.describe()).toMatchObject({ name, threads });
    backend.dispose();
  }
});
