import { readFile } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import {
  type ConfigJson,
  findArchitecture,
  findPreset,
  type LoadedLanguageModel,
  loadLanguageModel,
  randomWeights,
} from '@mamba-ts/layers';
import type { OpenedModel } from '@mamba-ts/loaders';
import { type BackendDescription, type DType, MambaError, type WeightSource } from '@mamba-ts/tensor';
import { type BackendName, createBackend, type LocalModel, loadLocalModel } from 'mamba-ts';
import { openNodeSource } from 'mamba-ts/node';
import { note, ProgressBar } from './progress.ts';

/** The checkpoint that is meant where none is named. */
export async function modelSource(model: string | undefined): Promise<string> {
  return model ?? (await import('@mamba-ts/model-shakespeare')).modelUrl.href;
}

/** A checkpoint, and what to call it. */
export interface Checkpoint {
  readonly name: string;
  readonly path: string;
}

/** The embedded models: a Mamba and a Transformer of one size, text and training. */
export async function twins(): Promise<readonly Checkpoint[]> {
  const [mamba, transformer] = await Promise.all([
    import('@mamba-ts/model-shakespeare'),
    import('@mamba-ts/model-shakespeare-transformer'),
  ]);
  return [
    { name: 'shakespeare-mamba', path: mamba.modelUrl.href },
    { name: 'shakespeare-transformer', path: transformer.modelUrl.href },
  ];
}

/** Opens a checkpoint by path, address or hub id; what must be downloaded first shows how far it is. */
export async function openSource(
  model: string | undefined,
  signal: AbortSignal,
  adapter?: string | undefined,
): Promise<OpenedModel> {
  const bar = new ProgressBar('downloading', 'bytes');
  try {
    return await openNodeSource(await modelSource(model), {
      signal,
      adapter,
      onProgress: ({ phase, done, total }) => bar.update(done, total, phase === 'wait' ? WAITING : undefined),
      onNote: note,
    });
  } finally {
    bar.end();
  }
}

/** Shown in place of rate and time left. */
export const WAITING: string = 'waiting for another process that downloads it';

export interface ModelOptions {
  readonly model?: string;
  readonly adapter?: string;
  /** The path of a tuned state. */
  readonly state?: string;
  readonly backend: BackendName;
  readonly threads?: number | undefined;
  readonly skipBelow?: number | undefined;
}

/** Loads with a progress bar, in this thread: a command has nothing else to do meanwhile, and starts sooner so. */
export async function load(options: ModelOptions, signal: AbortSignal): Promise<LocalModel> {
  return loadOpened(await openSource(options.model, signal, options.adapter), options, signal);
}

/** The same of a checkpoint that is open already. */
export async function loadOpened(opened: OpenedModel, options: ModelOptions, signal: AbortSignal): Promise<LocalModel> {
  const state = options.state === undefined ? undefined : await readBytes(options.state, signal);
  const bar = new ProgressBar('loading');
  try {
    const model = await loadLocalModel(opened, {
      ...(state ? { state } : {}),
      backend: options.backend,
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      ...(options.skipBelow === undefined ? {} : { skipBelow: options.skipBelow }),
      signal,
      onProgress: ({ done, total }) => bar.update(done, total),
    });
    bar.end();
    tellThreads(model.info.backend, options);
    return model;
  } finally {
    bar.end();
  }
}

/** Says so where there are fewer threads than asked for. */
function tellThreads({ name, threads, note: why }: BackendDescription, options: ModelOptions): void {
  if (why !== undefined) note(why);
  else if (options.threads !== undefined && threads !== options.threads)
    note(`${name} runs on ${threads === 1 ? 'one thread' : `${threads} threads`}`);
}

export interface BareModelOptions extends ModelOptions {
  /** A published size instead of a checkpoint. */
  readonly random?: string;
  /** Of random matrices. */
  readonly dtype: DType;
}

/** A model without its tokenizer on a backend of its own, which the caller disposes of: for measuring. */
export async function loadBare(options: BareModelOptions, signal: AbortSignal): Promise<LoadedLanguageModel> {
  const loading = { signal, skipBelow: options.skipBelow };
  const backend = await createBackend(options.backend, options.threads);
  tellThreads(backend.describe(), options);
  try {
    if (options.random !== undefined) {
      const { architecture, config: published } = await findPreset(options.random);
      // What the weights were trained for does not bind random ones: their speed may be measured at any length.
      const config = published.max_position_embeddings ? { ...published, max_position_embeddings: 2 ** 24 } : published;
      const tree = architecture.createModel(architecture.parseConfig(config)).parameters;
      const weights = audible(randomWeights(tree, options.dtype, 1));
      return await loadLanguageModel(architecture, config, weights, backend, loading);
    }
    const opened = await openSource(options.model, signal);
    const architecture = await findArchitecture(opened.config);
    return await loadLanguageModel(architecture, opened.config as ConfigJson, opened.weights, backend, loading);
  } catch (error) {
    backend.dispose();
    throw error;
  }
}

/** The same weights, with a turn of the event loop at each piece: made and not read, they would let no Ctrl-C be heard. */
const audible = (weights: WeightSource): WeightSource => ({
  entries: weights.entries,
  async *read(name, signal) {
    for await (const piece of weights.read(name, signal)) {
      await turn();
      yield piece;
    }
  },
});

/** A whole file of any content. Throws `FILE_READ`, and the signal's reason. */
async function readBytes(path: string, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await readFile(path, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new MambaError('FILE_READ', `${path} cannot be read: ${(cause as Error).message}`, { path }, { cause });
  }
}

/** A UTF-8 file. Throws `FILE_READ`, and the signal's reason. */
export async function readText(path: string, signal: AbortSignal): Promise<string> {
  return decoded(path, signal, () => readFile(path, { signal }));
}

/** All of stdin, which must be UTF-8. Throws `FILE_READ`, and the signal's reason. */
export async function readStdin(signal: AbortSignal): Promise<string> {
  return decoded('stdin', signal, async () => {
    const chunks: Uint8Array[] = [];
    for await (const chunk of addAbortSignal(signal, process.stdin)) chunks.push(chunk);
    return Buffer.concat(chunks);
  });
}

async function decoded(name: string, signal: AbortSignal, read: () => Promise<Uint8Array>): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await read());
  } catch (cause) {
    signal.throwIfAborted();
    const reason = cause instanceof TypeError ? 'it is not UTF-8' : (cause as Error).message;
    throw new MambaError('FILE_READ', `${name} cannot be read: ${reason}`, { path: name }, { cause });
  }
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}
