/**
 * How long does a training step of the model of train-step.ts take with THREADS worker threads, everything included?
 *
 *     node benchmarks/train-threads.ts [THREADS] [--json]
 */
import { findArchitecture } from '@mamba-ts/layers';
import { initialParameters, memoryTokens, TrainableModel, Trainer } from '@mamba-ts/train';
import { createTrainingBackend } from 'mamba-ts';
import { createTrainingTeam } from 'mamba-ts/node';

const threads = Number(process.argv[2] ?? 2);
const config = { model_type: 'mamba', vocab_size: 1024, hidden_size: 256, num_hidden_layers: 6, state_size: 16 };
const architecture = await findArchitecture(config);
const definition = architecture.createModel(architecture.parseConfig(config));
const values = initialParameters(definition.parameters, 1);
const backend = await createTrainingBackend();
const model = await TrainableModel.create(definition, values, backend);
const team = threads > 1 ? await createTrainingTeam(threads, { config, backend: 'auto', values }) : undefined;
const text = memoryTokens(Int32Array.from({ length: 20_000 }, (_, i) => (i * i * 31 + i) % 1024));
const shape = { sequences: 8, length: 256, separator: null, warmup: 5, shape: 'cosine' as const };
const trainer = new Trainer(model, text, 100, { ...shape, seed: 1, rate: 1e-3, dropout: 0.25 }, team);
const times: number[] = [];
for (let step = 0; step < 8; step++) {
  const start = performance.now();
  const { nats_per_token } = await trainer.advance();
  times.push(performance.now() - start);
  console.error(`step ${step}: ${times.at(-1)!.toFixed(0)} ms, ${nats_per_token.toFixed(3)} nats`);
}
const sorted = times.slice(1).sort((a, b) => a - b);
const peak = process.resourceUsage().maxRSS / 1024;
console.log(
  process.argv.includes('--json')
    ? JSON.stringify({ threads, step_s: times.slice(1).map((ms) => ms / 1000), peak_mb: peak })
    : `${threads} threads: median ${sorted[3]!.toFixed(0)} ms (${sorted[0]!.toFixed(0)} to ${sorted[6]!.toFixed(0)}), peak ${peak.toFixed(0)} MB`,
);
trainer.dispose();
