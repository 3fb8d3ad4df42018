import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openSafetensors } from '@mamba-ts/loaders';
import { openFile } from '@mamba-ts/loaders/node';
import { isMambaError } from '@mamba-ts/tensor';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { llamaCpp } from '../src/suite/llama-cpp.ts';
import { json } from './mamba.ts';

// What `mamba quantize` makes of the trained checkpoint: what it costs, and that llama.cpp runs it.

const shared = new URL('../../../../shared/', import.meta.url);
const model = fileURLToPath(new URL('models/shakespeare-mamba', shared));
const text = fileURLToPath(new URL('data/tinyshakespeare.txt', shared));
const here = existsSync(model) && existsSync(text);
if (!here) console.warn('SKIPPED: ../shared is missing, quantised files of the trained checkpoint are not measured');
/** The whole validation text, and llama.cpp, which npm has to fetch. */
const full = process.env.FULL === '1';
const TOKENS = full ? 49_422 : 2048;

let folder: string;
const written = (dtype: string): string => join(folder, `${dtype}.gguf`);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mamba-written-'));
  if (!here) return;
  for (const dtype of ['f16', 'q8_0', 'q4_0', 'q4_k'])
    await json(['quantize', model, written(dtype), '--dtype', dtype]);
}, 60_000);
afterAll(() => rm(folder, { recursive: true }));

describe('what the weights cost', () => {
  let ids: string;
  let expected: number;
  const cost = async (from: string): Promise<number> =>
    (await json(['score', '--model', from, '--ids', ids, '--window', '512'])).nats_per_token as number;
  beforeAll(async () => {
    if (!here) return;
    const whole = await readFile(text, 'utf8');
    const found = await json(['tokenize', '--model', model], whole.slice(Math.floor(0.9 * whole.length)));
    ids = join(folder, 'ids.json');
    await writeFile(ids, JSON.stringify((found.ids as number[]).slice(0, TOKENS)));
    expected = await cost(model);
  }, 300_000);

  test.skipIf(!here).each([
    ['f16', 'F16', 0.0005],
    ['q8_0', 'Q8_0', 0.002],
    ['q4_k', 'Q4_K_M', 0.01],
    ['q4_0', 'Q4_0', 0.01],
  ])(
    `%s: the first ${TOKENS} tokens of the validation text, within the tolerance of what the f32 weights make of them`,
    async (dtype, type, tolerance) => {
      const own = await cost(written(dtype));
      if (full) {
        const theirs = await cost(join(model, `gguf/shakespeare-mamba-${type}.gguf`));
        console.log(`${dtype}: ${own} (llama.cpp's file ${theirs}, f32 weights ${expected}) nats per token`);
        expect(Math.abs(theirs - expected)).toBeLessThanOrEqual(tolerance);
      }
      expect(Math.abs(own - expected)).toBeLessThanOrEqual(tolerance);
    },
    300_000,
  );
});

describe('llama.cpp runs it', () => {
  const prompts = ['ROMEO:', 'JULIET:\nO ', 'First Citizen:\nBefore we proceed'];
  const MARGIN = 0.05;

  /** The ids that we find likeliest behind a prompt, with the logits of each step. */
  async function ours(file: string, prompt: string): Promise<{ before: number; ids: number[]; margins: number[] }> {
    const { ids: first } = await json(['tokenize', prompt, '--model', file]);
    const run = await json(['run', prompt, '--model', file, '--temperature', '0', '--max-tokens', '100']);
    const ids = [...(first as number[]), ...(run.ids as number[])];
    const path = join(folder, 'greedy.json');
    const logits = join(folder, 'logits.safetensors');
    await writeFile(path, JSON.stringify(ids));
    await json(['score', '--model', file, '--ids', path, '--logits', logits]);
    const { tensors, dataStart, source } = await openSafetensors(await openFile(logits));
    const { begin, end, shape } = tensors.get('logits')!;
    const values = new Float32Array((await source.read(dataStart + begin, end - begin)).slice().buffer);
    const margins = Array.from({ length: shape[0]! }, (_, i) => {
      const [best, next] = values.slice(i * shape[1]!, (i + 1) * shape[1]!).sort((a, b) => b - a);
      return best! - next!;
    });
    return { before: (first as number[]).length, ids, margins };
  }

  test.skipIf(!here || !full).for(['f16', 'q8_0'])(
    '%s: the same likeliest id at every step of 100 that is decided by 0.05 or more, after three prompts',
    { timeout: 300_000 },
    async (dtype, context) => {
      const signal = new AbortController().signal;
      const program = new URL('../dist/llama-cpp-child.js', import.meta.url);
      const peer = await llamaCpp
        .load(written(dtype), 1, { promptTokens: 512, genTokens: 512 }, signal, program)
        .catch((error) => {
          if (!isMambaError(error, 'PEER_INSTALL')) throw error;
          console.warn(
            `SKIPPED: llama.cpp cannot be installed, so nothing says that it runs our files. ${error.message}`,
          );
          return null;
        });
      if (!peer) return context.skip();
      try {
        let decided = 0;
        for (const prompt of prompts) {
          const { before, ids, margins } = await ours(written(dtype), prompt);
          for (let i = before; i < ids.length; i++) {
            if (margins[i - 1]! < MARGIN) continue;
            decided++;
            const [next] = await peer.greedy(ids.slice(0, i), 1, signal);
            expect(next, `after ${i} tokens of ${JSON.stringify(prompt)}, margin ${margins[i - 1]}`).toBe(ids[i]);
          }
        }
        console.log(`${dtype}: ${decided} decided steps of ${100 * prompts.length}, all equal`);
        expect(decided).toBeGreaterThan(200);
      } finally {
        await peer.close();
      }
    },
  );
});
