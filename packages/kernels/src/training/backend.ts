import { checkGradients, checkRmsNorm, type TrainingBackend } from '@mamba-ts/tensor';
import { referenceBackward } from '@mamba-ts/tensor/reference';
import { createBackend } from '../backend.ts';
import type { Opened } from '../build.ts';
import { WasmMemory } from '../memory.ts';
import { elementwiseBackward } from './elementwise.ts';
import { Gradients } from './gradients.ts';
import { headBackward } from './head.ts';
import { linearBackward } from './linear.ts';
import { mamba3Backward } from './mamba3.ts';
import { ReferenceViews } from './reference-views.ts';
import { sequenceBackward } from './sequence.ts';
import { ssdBackward } from './ssd.ts';
import { transformerBackward } from './transformer.ts';

/**
 * A backend on WebAssembly SIMD that can train. Backward ops without a kernel run as the reference on views of its memory:
 * `describeBackward` says which.
 */
export function createTrainingBackend(opened: Opened): TrainingBackend {
  const memory = new WasmMemory(`wasm-${opened.build}`, opened.kernels);
  const base = createBackend(opened, memory);
  const gradients = new Gradients(memory);
  const views = new ReferenceViews(memory, gradients);
  const reference = referenceBackward(views);
  const native = {
    ...linearBackward(memory, gradients),
    ...elementwiseBackward(memory),
    ...sequenceBackward(memory, gradients),
    ...ssdBackward(memory, gradients),
    ...mamba3Backward(memory, gradients),
    ...headBackward(memory, gradients),
    ...transformerBackward(memory, gradients, (...args) => {
      views.withCaches(() => reference.attentionBackward(...args));
    }),

    rmsNormBackward(x, w, eps, groups, dy, dx) {
      const op = 'rmsNormBackward';
      const own = memory.kernels(op);
      checkRmsNorm(x, w, eps, groups);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      const [tokens, channels] = x.shape;
      own.rms_norm_backward(
        memory.address(op, 'x', x),
        x.rowStride,
        w === null ? 0 : gradients.address(op, w),
        w?.shape[0] ?? 1,
        memory.address(op, 'dy', dy),
        dy.rowStride,
        dx === null ? 0 : memory.address(op, 'dx', dx),
        dx?.rowStride ?? 0,
        gradients.of(w),
        tokens,
        channels / groups,
        groups,
        eps,
      );
    },
  } satisfies Partial<TrainingBackend>;
  const nativeNames = new Set(Object.keys(native));
  return {
    ...base,
    ...reference,
    ...native,
    describeBackward: () => {
      const names = Object.keys(reference) as (keyof typeof reference)[];
      return Object.fromEntries(
        names
          .filter((name) => name.endsWith('Backward'))
          .map((name) => [name, nativeNames.has(name) ? 'native' : 'reference']),
      ) as ReturnType<TrainingBackend['describeBackward']>;
    },
    zeros(shape) {
      memory.kernels('zeros');
      const x = memory.tensor(...shape);
      memory.floats().fill(0, x.offset, x.offset + shape[0] * shape[1]);
      return x;
    },
    freeWeight(weight) {
      gradients.release(weight);
      base.freeWeight(weight);
    },
    trackGradient: (weight) => gradients.track(weight),
    readGradient: async (weight) => gradients.view('readGradient', weight).slice(),
    zeroGradient(weight) {
      gradients.view('zeroGradient', weight).fill(0);
    },
    writeWeight: (weight, values) => gradients.write(weight, values),
  };
}
