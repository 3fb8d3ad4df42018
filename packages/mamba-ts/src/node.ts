import { Worker } from 'node:worker_threads';
import { checkLoadOptions, wireSource } from './check-options.ts';
import { loadLocalModel } from './local-model.ts';
import { openNodeSource } from './node/source.ts';
import { loadRemoteModel } from './remote-model.ts';
import type { LoadOptions, MambaModel } from './types.ts';
import { clientOf } from './worker-client.ts';

export * from './exports.ts';
export { createTrainingTeam } from './node/training-team.ts';
export type { TrainingWork } from './serve-training.ts';
export { openNodeSource };

/** A path or an address of a model folder or a GGUF file, a hub id (`org/name`), or the files of a model. */
export type ModelSource = string | URL | Iterable<File>;

/**
 * Loads a model, in a worker thread unless told otherwise. Throws typed errors (`isMambaError`): `FILE_MISSING`,
 * `MODEL_TYPE`, `TENSOR_SHAPE`, `OUT_OF_MEMORY`, `INVALID_OPTION`, ...; the signal's reason where it is aborted.
 */
export async function fromPretrained(source: ModelSource, options: LoadOptions = {}): Promise<MambaModel> {
  checkLoadOptions(options);
  const address = (given: string | URL): string => (typeof given === 'string' ? given : given.href);
  const wire = wireSource(source, address);
  const adapter = options.adapter === undefined ? undefined : wireSource(options.adapter, address);
  if (options.worker === false) return loadLocalModel(await openNodeSource(wire, { ...options, adapter }), options);
  const worker = new Worker(new URL('./node/worker.ts', import.meta.url));
  const client = clientOf(
    {
      post: (message) => worker.postMessage(message),
      listen: (onMessage) => worker.on('message', onMessage),
    },
    (fail) => {
      worker.on('error', fail);
      worker.on('exit', (code) => fail(new Error(`exit code ${code}`)));
    },
  );
  return loadRemoteModel(
    {
      client,
      terminate: async () => {
        await worker.terminate();
      },
    },
    wire,
    options,
    adapter,
  );
}
