import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { json, mamba } from './mamba.ts';

const fixture = (name: string): string => fileURLToPath(new URL(`../../../fixtures/gguf/${name}`, import.meta.url));
const shared = new URL('../../../../shared/', import.meta.url);
const model = fileURLToPath(new URL('models/shakespeare-mamba', shared));
const text = fileURLToPath(new URL('data/tinyshakespeare.txt', shared));
const gguf = (type: string): string => join(model, `gguf/shakespeare-mamba-${type}.gguf`);

test('mamba show FILE.gguf, whole and in parts', async () => {
  expect(await json(['show', fixture('mamba-plain.gguf')])).toMatchObject({
    model: 'mamba-plain',
    architecture: 'mamba',
    vocab_size: 97,
    decoded: {},
    files: [{ name: 'mamba-plain.gguf' }],
  });
  const { files, dtypes } = await json(['show', fixture('mamba-bf16-00001-of-00002.gguf')]);
  expect(files).toHaveLength(2);
  expect(Object.keys(dtypes as object).sort()).toEqual(['bf16', 'f32']);
});

test('a file that is no GGUF ends with 1 and says why', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'mamba-gguf-'));
  try {
    await writeFile(join(folder, 'wrong.gguf'), 'not a model at all, whatever its name says');
    const { code, stdout, stderr } = await mamba(['show', join(folder, 'wrong.gguf')]);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('does not begin with "GGUF"');
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('the trained checkpoint of shared/ as GGUF', () => {
  // The project stands without shared/: these say loudly that they were skipped.
  const here = existsSync(gguf('F16')) && existsSync(text);
  if (!here) console.warn('SKIPPED: ../shared is missing, the GGUF files of the trained checkpoint are not checked');

  let folder: string;
  let server: Server;
  let validation: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mamba-gguf-'));
    validation = join(folder, 'validation.txt');
    if (here) {
      const whole = await readFile(text, 'utf8');
      await writeFile(validation, whole.slice(Math.floor(0.9 * whole.length)));
    }
    server = createServer(async ({ headers }, response) => {
      const bytes = await readFile(gguf('F16'));
      const match = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '')!;
      const [first, last] = [Number(match[1]), Number(match[2])];
      response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${bytes.length}` });
      response.end(bytes.subarray(first, last + 1));
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  });
  afterAll(async () => {
    await new Promise((done) => server.close(done));
    await rm(folder, { recursive: true });
  });

  const greedy = async (from: string): Promise<unknown> =>
    (await json(['run', 'ROMEO:', '--model', from, '--temperature', '0', '--max-tokens', '120'])).text;

  test.skipIf(!here)('F16 from a file and from a URL: the greedy text of the safetensors file', async () => {
    const expected = await greedy(model);
    expect(await greedy(gguf('F16'))).toBe(expected);
    expect(await greedy(`http://127.0.0.1:${(server.address() as AddressInfo).port}/model.gguf`)).toBe(expected);
  });

  test.skipIf(!here)('tokenize: the ids of tokenizer.json', async () => {
    const line = 'JULIET:\nO Romeo, Romeo! wherefore art thou Romeo?<|endoftext|>é';
    const { ids } = await json(['tokenize', line, '--model', model]);
    expect((await json(['tokenize', line, '--model', gguf('F16')])).ids).toEqual(ids);
  });

  test.skipIf(!here)('show says in what the weights are held: as the file has them', async () => {
    expect(await json(['show', gguf('Q4_K_M')])).toMatchObject({
      dtypes: { q4_k: { tensors: 18 }, q6_k: { tensors: 1 }, f16: { tensors: 6 }, f32: { tensors: 37 } },
      decoded: {},
    });
  });

  // The whole text: README.md of packages/loaders.
  test.skipIf(!here)(
    'the first 8,192 tokens of the validation text cost what the safetensors file makes of them, within 0.0005 (F16), ' +
      '0.002 (Q8_0) and 0.01 (Q4_K_M, Q4_0) nats per token',
    async () => {
      const { ids } = await json(['tokenize', '--model', model], await readFile(validation, 'utf8'));
      const first = join(folder, 'ids.json');
      await writeFile(first, JSON.stringify((ids as number[]).slice(0, 8192)));
      const cost = async (from: string): Promise<number> =>
        (await json(['score', '--model', from, '--ids', first, '--window', '512'])).nats_per_token as number;
      const expected = await cost(model);
      for (const [type, tolerance] of Object.entries({ F16: 0.0005, Q8_0: 0.002, Q4_K_M: 0.01, Q4_0: 0.01 })) {
        expect(Math.abs((await cost(gguf(type))) - expected), type).toBeLessThanOrEqual(tolerance);
      }
    },
    120_000,
  );
});
