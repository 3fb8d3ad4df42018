import { readFile } from 'node:fs/promises';
import { createWasmBackend } from '@mamba-ts/kernels';
import { type Backend, isMambaError, matrix } from '@mamba-ts/tensor';
import { uploadWeight } from '@mamba-ts/tensor/testing';
import { expect, test } from 'vitest';
import { makeApi } from '../src/make-api.ts';
import { startNodeWorker } from '../src/node/threads.ts';
import type { PoolStart, StartWorker } from '../src/pool.ts';

const file = (name: string): Promise<Uint8Array<ArrayBuffer>> =>
  readFile(new URL(`../wasm/${name}.wasm`, import.meta.url)) as Promise<Uint8Array<ArrayBuffer>>;

const openWith = (startWorker: StartWorker): Promise<Backend> =>
  makeApi({
    source: () => file('simd128-threads'),
    startWorker,
    cores: () => 2,
    widen: () => false,
  }).createWasmBackend({
    build: 'simd',
    threads: 3,
    grain: 1,
  });

/** A product whose kernel takes 16 KiB of stack. */
function product(backend: Backend): void {
  const w = uploadWeight(backend, matrix('w', [4096, 256]), new Float32Array(4096 * 256).fill(1), 'f16');
  backend.linear(backend.upload(new Float32Array(256).fill(1), [1, 256]), w, null);
  backend.endStep();
  backend.freeWeight(w);
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

async function codeOf(work: () => void): Promise<string> {
  const end = performance.now() + 15_000;
  while (performance.now() < end) {
    try {
      work();
    } catch (error) {
      return isMambaError(error) ? error.code : String(error);
    }
    await turn();
  }
  return 'no error';
}

test('a worker that is killed makes every later call WORKER_LOST, and disposal still works', async () => {
  const workers: { terminate(): void }[] = [];
  const backend = await openWith((start, onEnd) => {
    const worker = startNodeWorker(start, onEnd);
    workers.push(worker);
    return worker;
  });
  product(backend);
  const weight = uploadWeight(backend, matrix('w', [2, 2]), new Float32Array(4), 'f16');
  const slot = backend.createSlot(4, []);
  workers[1]!.terminate();
  expect(await codeOf(() => product(backend))).toBe('WORKER_LOST');
  expect(() => backend.memory()).toThrow(/ended before the backend did/);
  // What a model gives back before its backend ends.
  backend.freeSlot(slot);
  backend.freeWeight(weight);
  backend.dispose();
  expect(() => backend.memory()).toThrow(expect.objectContaining({ code: 'DISPOSED' }));
});

test('a worker that fails within a piece of work makes that call WORKER_LOST: it does not hang', async () => {
  // A stack of 2 KiB: enough to take a piece, too little to compute it.
  const backend = await openWith((start: PoolStart) => startNodeWorker({ ...start, stack: 2048 }, () => {}));
  expect(await codeOf(() => product(backend))).toBe('WORKER_LOST');
  backend.dispose();
});

test('threads of which one cannot be started: a typed error, and none is left', async () => {
  const ended: string[] = [];
  let started = 0;
  const opened = openWith((start, onEnd) => {
    if (started++ === 1) throw new Error('no more threads');
    return startNodeWorker(start, (reason) => {
      ended.push(reason);
      onEnd(reason);
    });
  });
  await expect(opened).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    message: expect.stringContaining('fewer threads'),
  });
  for (let i = 0; i < 1000 && ended.length < 1; i++) await turn();
  expect(ended).toHaveLength(1);
});

test('disposal ends the workers', async () => {
  const ended: string[] = [];
  const backend = await openWith((start, onEnd) =>
    startNodeWorker(start, (reason) => {
      ended.push(reason);
      onEnd(reason);
    }),
  );
  product(backend);
  expect(ended).toEqual([]);
  backend.dispose();
  for (let i = 0; i < 1000 && ended.length < 2; i++) await turn();
  expect(ended).toHaveLength(2);
});

test('a module without threads is refused where threads are asked for', async () => {
  await expect(createWasmBackend({ threads: 2, build: 'simd', wasm: await file('simd128') })).rejects.toMatchObject({
    code: 'INVALID_OPTION',
  });
  const backend = await createWasmBackend({ threads: 2, build: 'simd', wasm: await file('simd128-threads') });
  product(backend);
  backend.dispose();
});
