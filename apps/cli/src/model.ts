import { type BackendName, fromPretrained, type LocalModel } from 'mamba-ts';
import { ProgressBar } from './progress.ts';

/** The checkpoint that is meant where none is named. */
export async function modelSource(model: string | undefined): Promise<string> {
  return model ?? (await import('@mamba-ts/model-shakespeare')).modelUrl.href;
}

export interface ModelOptions {
  readonly model?: string;
  readonly backend: BackendName;
}

/** Loads with a progress bar, in this thread: a command has nothing else to do meanwhile, and starts sooner so. */
export async function load(options: ModelOptions, signal: AbortSignal): Promise<LocalModel> {
  const bar = new ProgressBar('loading');
  try {
    return (await fromPretrained(await modelSource(options.model), {
      backend: options.backend,
      worker: false,
      signal,
      onProgress: ({ done, total }) => bar.update(done, total),
    })) as LocalModel;
  } finally {
    bar.end();
  }
}

export async function readStdin(): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
