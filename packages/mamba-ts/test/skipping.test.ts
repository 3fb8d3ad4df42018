import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained, type LoadOptions, type ScoreResult } from 'mamba-ts';
import { expect, test } from 'vitest';

const TEXT = 'ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n';

async function scored(options: LoadOptions): Promise<ScoreResult> {
  const model = await fromPretrained(modelUrl, options);
  const result = await model.score(TEXT);
  await model.dispose();
  return result;
}

test('skipBelow skips a share that grows with it, at a price that grows; without it nothing is skipped', async () => {
  const exact = await scored({ worker: false });
  expect(exact).not.toHaveProperty('skipped');
  const none = await scored({ skipBelow: 1e-30 });
  expect(none).toEqual({ ...exact, skipped: 0 });
  const few = await scored({ skipBelow: 3e-2 });
  const many = await scored({ skipBelow: 3e-1, worker: false });
  expect(few.skipped).toBeGreaterThan(0);
  expect(many.skipped).toBeGreaterThan(few.skipped!);
  expect(few.nats).not.toBe(exact.nats);
  expect(Math.abs(many.nats - exact.nats)).toBeGreaterThan(Math.abs(few.nats - exact.nats));
  expect((await scored({ skipBelow: 1e9, worker: false })).skipped).toBe(1);
});

test('the reference skips the same updates, but for a few of thousands', async () => {
  const fast = await scored({ skipBelow: 1e-2, worker: false });
  const plain = await scored({ skipBelow: 1e-2, worker: false, backend: 'reference' });
  expect(fast.skipped).toBeCloseTo(plain.skipped!, 4);
  expect(fast.nats).toBeCloseTo(plain.nats, 3);
});

test('what a generation skipped is told with it', async () => {
  const model = await fromPretrained(modelUrl, { skipBelow: 1e-2 });
  const { ids, skipped } = await model.generate('ROMEO:', { maxTokens: 8, temperature: 0 });
  expect(ids).toHaveLength(8);
  expect(skipped).toBeGreaterThan(0);
  expect(skipped).toBeLessThan(1);
  await model.dispose();
});

test.each([0, -1, Number.NaN, '1e-3'])('skipBelow %s is refused with INVALID_OPTION', async (skipBelow) => {
  await expect(fromPretrained(modelUrl, { skipBelow } as LoadOptions)).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  });
});
