/**
 * Does a long prompt cost memory? Reads TOKENS tokens with a progress bar, then writes ten, and prints what the process and the
 * backend held at a tenth of the way and at the end. Without SIZE it is the embedded model; SIZE is a published one with random
 * weights, such as mamba-130m.
 *
 *     node benchmarks/long-prompt.ts [TOKENS] [SIZE]
 */
import { generate } from '@mamba-ts/generate';
import { findPreset, type LoadedLanguageModel, loadLanguageModel, randomWeights } from '@mamba-ts/layers';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { createBackend, fromPretrained, type LocalModel } from 'mamba-ts';

const tokens = Number(process.argv[2] ?? 1_000_000);
const size = process.argv[3];

async function load(): Promise<LoadedLanguageModel> {
  if (!size) return ((await fromPretrained(modelUrl, { worker: false })) as LocalModel).languageModel;
  const { architecture, config } = await findPreset(size);
  const { parameters } = architecture.createModel(architecture.parseConfig(config));
  return loadLanguageModel(architecture, config, randomWeights(parameters, 'f16', 1), await createBackend());
}

const model = await load();
const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 7919 + 13) % model.vocabSize);
const held = () => {
  const { rss, external, heapUsed } = process.memoryUsage();
  return { rss_mb: rss / 1e6, external_mb: external / 1e6, heap_mb: heapUsed / 1e6, backend: model.backend.memory() };
};
let early: ReturnType<typeof held> | undefined;
const started = performance.now();
let read = 0;
let told = started;
for await (const _ of generate(model, ids, {
  maxTokens: 10,
  temperature: 0,
  onProgress: ({ done, total }) => {
    if (done >= total / 10) early ??= held();
    if (done === total) read = performance.now() - started;
    const now = performance.now();
    const left = ((now - started) * (total / done - 1)) / 1000;
    const text = `${((100 * done) / total).toFixed(1)} %, ${left.toFixed(0)} s left`;
    if (process.stderr.isTTY) process.stderr.write(`\r${text} `);
    else if (now - told > 10_000) {
      told = now;
      process.stderr.write(`${text}, ${(held().rss_mb).toFixed(0)} MB resident\n`);
    }
  },
}));
if (process.stderr.isTTY) process.stderr.write('\r\x1b[2K');
const late = held();
console.log(
  JSON.stringify({
    model: size ?? 'embedded',
    tokens,
    tokens_per_second: (1000 * tokens) / read,
    at_a_tenth: early,
    at_the_end: late,
    rss_growth_mb: late.rss_mb - early!.rss_mb,
  }),
);
model.backend.dispose();
