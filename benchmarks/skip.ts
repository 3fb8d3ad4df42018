/**
 * What does it cost to skip small updates of the state, and what does it save? Reads the last TOKENS tokens of a text, by
 * chunks and then some of them one by one, exactly and with several EPS, all in turns on one thread.
 *
 *     node benchmarks/skip.ts TEXT [TOKENS] [REPEATS] [MODEL]
 */
import { readFileSync } from 'node:fs';
import { score } from '@mamba-ts/generate';
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained, type LocalModel } from 'mamba-ts';
import { spread } from './measure.ts';

const [text, tokens = '2048', repeats = '7', model = modelUrl.href] = process.argv.slice(2);
if (text === undefined) throw new Error('name a text');
const EPS = [null, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1, 1e3];
/** Tokens that are read one by one. */
const SINGLE = 128;

const runs = await Promise.all(
  EPS.map(async (below) => {
    const options = { worker: false, threads: 1, ...(below === null ? {} : { skipBelow: below }) };
    return {
      below,
      model: (await fromPretrained(model, options)) as LocalModel,
      read: [] as number[],
      decode: [] as number[],
      nats: 0,
      skipped: 0,
    };
  }),
);
const ids = (await runs[0]!.model.tokenize(readFileSync(text, 'utf8'))).slice(-Number(tokens));
for (let i = 0; i <= Number(repeats); i++) {
  for (const run of runs) {
    const started = performance.now();
    const { nats, scored } = await score(run.model.languageModel, ids);
    const read = performance.now() - started;
    const { skipping } = run.model.languageModel;
    if (skipping) run.skipped = skipping.skipped / skipping.updates;
    run.nats = nats / scored;
    const state = run.model.languageModel.createState();
    const decoding = performance.now();
    for (const id of ids.slice(0, SINGLE)) await run.model.languageModel.forward(Int32Array.of(id), state, 'last');
    const decode = performance.now() - decoding;
    state.dispose();
    if (i === 0) continue; // the engine's optimising tier compiles the kernels meanwhile
    run.read.push(read);
    run.decode.push(decode / SINGLE);
  }
}
const exact = runs[0]!;
const change = (found: number, before: number): string => `${(100 * (found / before - 1)).toFixed(1)} %`;
console.log(`${ids.length} tokens, ${repeats} repeats, medians`);
console.log('| EPS | skipped | nats per token | change | reading | | one token | |\n|---|---|---|---|---|---|---|---|');
for (const { below, nats, skipped, read, decode } of runs) {
  const [all, one] = [spread(read).median, spread(decode).median];
  console.log(
    `| ${below ?? 'exact'} | ${(100 * skipped).toFixed(2)} % | ${nats.toFixed(5)} | ${(nats - exact.nats).toFixed(5)} | ` +
      `${all.toFixed(0)} ms | ${change(all, spread(exact.read).median)} | ` +
      `${one.toFixed(3)} ms | ${change(one, spread(exact.decode).median)} |`,
  );
}
for (const { model } of runs) await model.dispose();
