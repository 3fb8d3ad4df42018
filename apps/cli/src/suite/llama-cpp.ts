import { fork } from 'node:child_process';
import { once } from 'node:events';
import { MambaError } from '@mamba-ts/tensor';
import { contextFor, type Engine, type Loaded, type Speed, type Work } from './engine.ts';
import { installed } from './install.ts';

const VERSION = '3.22.0';

/** What the child is told, one at a time; it answers each with a {@link Reply}. */
export type Request =
  | {
      readonly do: 'load';
      readonly file: string;
      readonly threads: number;
      readonly context: number;
      readonly peers: string;
    }
  | ({ readonly do: 'measure' } & Work)
  | { readonly do: 'greedy'; readonly ids: readonly number[]; readonly count: number };

export type Reply =
  | { readonly speed: Speed }
  | { readonly ids: readonly number[] }
  | { readonly error: string }
  | { readonly ok: true };

/** A model in llama.cpp's native build for this machine's processor, in a process of its own. */
export interface NativeModel extends Loaded {
  /** The `count` ids that it finds likeliest one after the other behind `ids`. */
  greedy(ids: readonly number[], count: number, signal: AbortSignal): Promise<readonly number[]>;
}

/** llama.cpp as node-llama-cpp ships it: its own processor kernels, no GPU. */
export const llamaCpp = {
  name: 'llama.cpp',
  version: `node-llama-cpp ${VERSION}`,

  /** `program` is llama-cpp-child.ts, built. */
  async load(
    file: string,
    threads: number,
    work: Work,
    signal: AbortSignal,
    program: URL = new URL('./llama-cpp-child.js', import.meta.url),
  ): Promise<NativeModel> {
    const peers = await installed({ 'node-llama-cpp': VERSION }, signal);
    const child = fork(program, { stdio: ['ignore', 2, 2, 'ipc'] });
    const ask = async (request: Request, until: AbortSignal): Promise<Reply> => {
      const stop = (): boolean => child.kill('SIGKILL');
      until.addEventListener('abort', stop);
      const settled = new AbortController();
      try {
        child.send(request);
        const reply = await Promise.race([
          once(child, 'message', settled).then(([message]) => message as Reply),
          once(child, 'exit', settled).then(([code, name]) => ({ error: `its process ended (${code ?? name})` })),
        ]);
        until.throwIfAborted();
        if ('error' in reply) throw new MambaError('PEER', `llama.cpp could not ${request.do} ${file}: ${reply.error}`);
        return reply;
      } finally {
        until.removeEventListener('abort', stop);
        // The event that did not come is waited for no longer.
        settled.abort();
      }
    };
    try {
      await ask({ do: 'load', file, threads, context: contextFor(work), peers }, signal);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    return {
      measure: async (work, until) => ((await ask({ do: 'measure', ...work }, until)) as { speed: Speed }).speed,
      greedy: async (ids, count, until) =>
        ((await ask({ do: 'greedy', ids, count }, until)) as { ids: readonly number[] }).ids,
      async close() {
        child.kill('SIGKILL');
      },
    };
  },

  async close(): Promise<void> {},
} satisfies Engine;
