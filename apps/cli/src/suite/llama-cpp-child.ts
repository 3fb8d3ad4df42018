/** The process in which llama.cpp runs (llama-cpp.ts): it answers one request after the other until it is killed. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Reply, Request } from './llama-cpp.ts';

/** As much of node-llama-cpp as is used. */
interface Sequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(ids: readonly number[]): Promise<void>;
  controlledEvaluate(input: readonly unknown[]): Promise<({ next: { token: number | null } } | undefined)[]>;
}

const GREEDY = { generateNext: { token: true, options: { temperature: 0 } } };

let sequence: Sequence;
let vocabSize: number;

async function load(file: string, threads: number, contextSize: number, peers: string): Promise<void> {
  const entry = createRequire(join(peers, 'package.json')).resolve('node-llama-cpp');
  const { getLlama } = await import(pathToFileURL(entry).href);
  // The binary that npm brought along: nothing is compiled, no GPU is looked for.
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: threads });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({ contextSize, batchSize: 512, threads, sequences: 1 });
  sequence = context.getSequence();
  vocabSize = [...model.iterateAllTokens()].length;
}

/** Feeds one token and gives the likeliest next one. */
async function step(id: number): Promise<number> {
  const [result] = await sequence.controlledEvaluate([[id, GREEDY]]);
  return result!.next.token!;
}

async function answer(request: Request): Promise<Reply> {
  if (request.do === 'load') {
    await load(request.file, request.threads, request.context, request.peers);
    return { ok: true };
  }
  await sequence.clearHistory();
  if (request.do === 'greedy') {
    const before = request.ids.slice(0, -1);
    if (before.length > 0) await sequence.evaluateWithoutGeneratingNewTokens(before);
    const ids: number[] = [];
    for (let id = request.ids.at(-1)!; ids.length < request.count; ids.push(id)) id = await step(id);
    return { ids };
  }
  const { promptTokens, genTokens } = request;
  const idAt = (i: number): number => (i * 7919 + 13) % vocabSize;
  const started = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(Array.from({ length: promptTokens }, (_, i) => idAt(i)));
  const prefilled = performance.now();
  for (let i = 0; i < genTokens; i++) await step(idAt(i));
  const decoded = performance.now();
  return {
    speed: {
      prefill: (1000 * promptTokens) / (prefilled - started),
      decode: (1000 * genTokens) / (decoded - prefilled),
    },
  };
}

process.on('message', async (request: Request) => {
  try {
    process.send!(await answer(request));
  } catch (error) {
    process.send!({ error: (error as Error).message } satisfies Reply);
  }
});
// The parent is gone: nobody will ask again.
process.on('disconnect', () => process.exit());
