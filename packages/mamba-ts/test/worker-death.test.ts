import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained } from 'mamba-ts';
import { afterEach, expect, test, vi } from 'vitest';

afterEach(() => vi.unstubAllGlobals());

// Node's workers are no globals: worker-death.node.test.ts.
test.runIf(typeof Worker !== 'undefined')(
  'in a page, killing the worker that runs a model makes the open call and every later one WORKER_DIED',
  async () => {
    const workers: Worker[] = [];
    const Original = Worker;
    vi.stubGlobal(
      'Worker',
      class extends Original {
        constructor(...args: ConstructorParameters<typeof Original>) {
          super(...args);
          workers.push(this);
        }
      },
    );
    const model = await fromPretrained(modelUrl, { threads: 1 });
    expect(workers).toHaveLength(1);
    const killed = expect(model.generate('ROMEO:', { maxTokens: 1_000_000 })).rejects.toMatchObject({
      code: 'WORKER_DIED',
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    workers[0]!.terminate();
    await killed;
    await expect(model.memory()).rejects.toMatchObject({ code: 'WORKER_DIED' });
    await model.dispose();
  },
);
