import type { ThreadedKernels } from './instance.ts';
import type { PoolStart } from './pool.ts';

/**
 * What a worker does: an instance on the shared memory, with a stack and thread-local memory of its own, takes pieces of
 * work until the pool ends. Node's workers have it as text, in node/threads.ts: what changes here changes there.
 */
export function enterPool({ module, memory, thread, ended, tls, stack }: PoolStart): void {
  try {
    const imports: Record<string, Record<string, WebAssembly.ImportValue>> = {};
    for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
      imports[from] = { ...imports[from], [name]: kind === 'memory' ? memory : () => {} };
    }
    const kernels = new WebAssembly.Instance(module, imports).exports as unknown as ThreadedKernels;
    kernels.__stack_pointer.value = stack;
    kernels.__wasm_init_tls(tls);
    kernels.pool_worker(thread);
  } finally {
    Atomics.store(new Int32Array(memory.buffer), ended / 4, 1);
  }
}
