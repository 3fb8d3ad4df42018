import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { StartWorker } from '../pool.ts';

/** What `enterPool` does, as text: no bundler has to find a file, and none is read. */
const SOURCE = `
const { module, memory, thread, ended, tls, stack } = require('node:worker_threads').workerData;
try {
  const imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] = { ...imports[from], [name]: kind === 'memory' ? memory : () => {} };
  }
  const kernels = new WebAssembly.Instance(module, imports).exports;
  kernels.__stack_pointer.value = stack;
  kernels.__wasm_init_tls(tls);
  kernels.pool_worker(thread);
} finally {
  Atomics.store(new Int32Array(memory.buffer), ended / 4, 1);
}`;

/** A worker thread of the pool; it keeps no process alive. */
export const startNodeWorker: StartWorker = (start, onEnd) => {
  const worker = new Worker(SOURCE, { eval: true, name: 'mamba-kernels', workerData: start });
  worker.on('error', (error) => onEnd(String(error)));
  worker.on('exit', (code) => onEnd(`exit code ${code}`));
  worker.unref();
  return { terminate: () => void worker.terminate() };
};

/** Cores that this process may use, the threads of one counted once where Linux tells which they are. */
export function nodeCores(): number {
  const available = availableParallelism();
  const cores = new Set<string>();
  for (const cpu of processors()) {
    try {
      cores.add(readFileSync(`/sys/devices/system/cpu/${cpu}/topology/thread_siblings_list`, 'utf8'));
    } catch {
      // One that is switched off.
    }
  }
  if (cores.size > 0) return Math.min(available, cores.size);
  // Elsewhere x86 mostly has two threads per core, others have one.
  return process.arch === 'x64' && available > 2 ? available >> 1 : available;
}

function processors(): string[] {
  try {
    return readdirSync('/sys/devices/system/cpu').filter((name) => /^cpu\d+$/.test(name));
  } catch {
    return []; // no Linux
  }
}
