import type { Worker } from 'node:worker_threads';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained } from 'mamba-ts';
import { expect, test } from 'vitest';

test('killing the worker that runs a model makes the open call and every later one WORKER_DIED; disposal still works', async () => {
  const workers: Worker[] = [];
  const keep = (worker: Worker): void => void workers.push(worker);
  process.on('worker', keep);
  const model = await fromPretrained(modelUrl, { threads: 2 });
  process.off('worker', keep);
  expect(workers).toHaveLength(1);
  const generating = model.generate('ROMEO:', { maxTokens: 1_000_000 });
  const killed = expect(generating).rejects.toMatchObject({ code: 'WORKER_DIED' });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await workers[0]!.terminate();
  await killed;
  await expect(model.memory()).rejects.toMatchObject({ code: 'WORKER_DIED' });
  await model.dispose();
  await expect(model.memory()).rejects.toMatchObject({ code: 'WORKER_DIED' });
});
