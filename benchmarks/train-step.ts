/**
 * How long does a training step of a Mamba-1 of 2.9 million parameters take (batch 8 x 256, dropout 0.25, clipping, AdamW,
 * f32), on one thread, and which ops take the time? PASSES sequences go through one pass together.
 *
 *     node benchmarks/train-step.ts [PASSES] [simd|relaxed]
 */

import { createWasmTrainingBackend } from '@mamba-ts/kernels';
import { findArchitecture } from '@mamba-ts/layers';
import { AdamW, backpropagate, clipScale, globalNorm, initialParameters, TrainableModel } from '@mamba-ts/train';

const [packed = '1', build = 'relaxed'] = process.argv.slice(2);
const [sequences, length, repeats] = [8, 256, 7];
const config = { model_type: 'mamba', vocab_size: 1024, hidden_size: 256, num_hidden_layers: 6, state_size: 16 };
const backend = await createWasmTrainingBackend({ build: build as 'simd' | 'relaxed' });
const architecture = await findArchitecture(config);
const definition = architecture.createModel(architecture.parseConfig(config));

const times = new Map<string, number>();
const timed = new Proxy(backend, {
  get(target, name: keyof typeof backend) {
    const value = target[name];
    if (typeof value !== 'function') return value;
    return (...args: never[]) => {
      const start = performance.now();
      const result = (value as (...all: never[]) => unknown)(...args);
      times.set(name, (times.get(name) ?? 0) + performance.now() - start);
      return result;
    };
  },
});

const model = await TrainableModel.create(definition, initialParameters(definition.parameters, 1), timed);
const optimizer = new AdamW([...model.parameters.values()].map(({ spec }) => spec));
const perPass = Number(packed);
const slots = Array.from({ length: perPass }, () => backend.createSlot(definition.state.length));
const steps: number[] = [];
for (let step = 0; step <= repeats; step++) {
  if (step === 1) times.clear();
  const start = performance.now();
  model.zeroGradients();
  let nats = 0;
  for (let pass = 0; pass < sequences / perPass; pass++) {
    const ids = Int32Array.from({ length: perPass * length }, (_, i) => (i * i * 31 + 7 * pass + i) % 1024);
    const targets = ids.map((id) => (id * 5 + 1) % 1024);
    const segments = slots.map((slot, i) => ({ start: i * length, length, slot, reset: true }));
    const dropout = { rate: 0.25, seed: 1, step: step * sequences + pass };
    nats += (await backpropagate(model, { ids, targets, segments }, 1 / (sequences * length), { dropout })).nats;
  }
  const gradients = new Map<string, Float32Array>();
  for (const name of model.parameters.keys()) gradients.set(name, await model.gradient(name));
  const scale = clipScale(globalNorm(gradients.values()), 1);
  for (const [name, { values }] of model.parameters) {
    optimizer.update(name, values, gradients.get(name)!, 1e-3, scale);
    model.update(name);
  }
  optimizer.step++;
  steps.push(performance.now() - start);
  console.error(`step ${step}: ${steps.at(-1)!.toFixed(0)} ms, ${(nats / sequences / length).toFixed(3)} nats`);
}
const sorted = steps.slice(1).sort((a, b) => a - b);
const median = sorted[Math.floor(sorted.length / 2)]!;
console.log(
  `${build}, ${perPass} sequences per pass: median ${median.toFixed(0)} ms (${sorted[0]!.toFixed(0)} to ${sorted.at(-1)!.toFixed(0)})`,
);
console.log(
  `${((sequences * length * 1000) / median).toFixed(0)} tokens/s, ${(backend.memory().total / 1e6).toFixed(0)} MB`,
);
for (const [name, total] of [...times].sort((a, b) => b[1] - a[1]).slice(0, 22)) {
  console.log(`${name.padEnd(26)} ${(total / repeats).toFixed(1).padStart(7)} ms`);
}
