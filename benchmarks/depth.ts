/**
 * Does a token cost the same at any depth? States at depths 1,000 and 1,000,000 (reached by prefill) are saved; blocks of
 * 200 decoded tokens then alternate between copies of the two. Prints one JSON object.
 *
 *     node benchmarks/depth.ts [SHALLOW DEEP]
 */
import { modelUrl } from '@mamba-ts/model-shakespeare';
import { fromPretrained, type LocalModel } from 'mamba-ts';

const BLOCKS = 9;
const TOKENS = 200;
const [shallow = 1_000, deep = 1_000_000] = process.argv.slice(2).map(Number);

const { languageModel: model } = (await fromPretrained(modelUrl, { worker: false })) as LocalModel;
const idAt = (i: number): number => (i * 7919 + 13) % model.vocabSize;

async function savedAt(depth: number): Promise<Uint8Array> {
  const state = model.createState();
  for (let at = 0; at < depth; at += model.maxChunk) {
    const length = Math.min(model.maxChunk, depth - at);
    await model.forward(
      Int32Array.from({ length }, (_, i) => idAt(at + i)),
      state,
      'none',
    );
  }
  const bytes = await state.save();
  state.dispose();
  return bytes;
}

/** Milliseconds per token of one block, from a fresh copy of the saved state. */
async function block(saved: Uint8Array): Promise<number> {
  const state = model.loadState(saved);
  const id = new Int32Array(1);
  const started = performance.now();
  for (let i = 0; i < TOKENS; i++) {
    id[0] = idAt(i);
    await model.forward(id, state, 'last');
  }
  const elapsed = performance.now() - started;
  state.dispose();
  return elapsed / TOKENS;
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!;

const states = { shallow: await savedAt(shallow), deep: await savedAt(deep) };
await block(states.shallow); // the engine's optimising tier
const before = model.backend.memory();
const times: { shallow: number[]; deep: number[] } = { shallow: [], deep: [] };
for (let i = 0; i < BLOCKS; i++) {
  times.shallow.push(await block(states.shallow));
  times.deep.push(await block(states.deep));
}
const after = model.backend.memory();
const [a, b] = [median(times.shallow), median(times.deep)];
console.log(
  JSON.stringify({
    depths: [shallow, deep],
    ms_per_token: { shallow: a, deep: b },
    ratio: b / a,
    state_bytes: { shallow: states.shallow.length, deep: states.deep.length },
    memory: { before, after },
  }),
);
