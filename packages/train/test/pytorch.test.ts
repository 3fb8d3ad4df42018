import { describe, expect, test } from 'vitest';
import { architecture as mamba3 } from '../../layers/src/architectures/mamba3.ts';
import { backpropagate, NO_TARGET } from '../src/index.ts';
import { BACKENDS, fixtureTensors, trainableFixture } from './fixture.ts';

const REMAKE = 'fixtures/gradients/ is made by fixtures/gradients.py';
const MODELS = [
  'mamba/plain',
  'mamba/falcon',
  'mamba2/groups',
  'mamba3/siso',
  'mamba3/mimo-norm',
  'gpt_neox/plain',
  'llama/grouped',
];

describe.each(Object.keys(BACKENDS))(
  'on %s gradients in f32 equal those of PyTorch within 1e-4 of the largest of their tensor',
  (on) => {
    test.each(MODELS)('%s', async (name) => {
      const backend = await BACKENDS[on]!();
      const model = await trainableFixture(name, backend);
      const expected = await fixtureTensors(`gradients/${name.replace('/', '-')}.safetensors`);
      const ids = Int32Array.from((await fixtureTensors(`${name}/expected.safetensors`)).get('ids')!);
      const targets = Int32Array.from([...ids.slice(1), NO_TARGET]);
      targets[3] = NO_TARGET;
      targets[17] = NO_TARGET;
      const { length, caches } = model.definition.state;
      const slot = backend.createSlot(length, caches);
      backend.reserveRows(slot, ids.length);
      const segments = [{ start: 0, length: ids.length, slot, reset: true, position: 0 }];

      const { nats, count } = await backpropagate(model, { ids, targets, segments });
      expect(count).toBe(ids.length - 3);
      expect(Math.abs(nats / count - expected.get('loss')![0]!), REMAKE).toBeLessThan(1e-4);

      // Tensors of the original layout go by the names that they have in transformers.
      const canonical = name.startsWith('mamba3') ? mamba3.canonicalName : (tensor: string) => tensor;
      const compared = new Set<string>();
      for (const [tensor, values] of expected) {
        if (tensor === 'loss') continue;
        const gradient = await model.gradient(canonical(tensor));
        expect(gradient.length, tensor).toBe(values.length);
        const largest = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
        const worst = values.reduce((max, value, i) => Math.max(max, Math.abs(value - gradient[i]!)), 0);
        expect(worst / largest, `${tensor}; ${REMAKE}`).toBeLessThanOrEqual(1e-4);
        compared.add(canonical(tensor));
      }
      expect([...model.parameters.keys()].filter((parameter) => !compared.has(parameter))).toEqual([]);
      backend.dispose();
    });
  },
);
