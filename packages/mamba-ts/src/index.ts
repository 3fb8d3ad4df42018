import { openBrowserSource } from './browser-source.ts';
import { checkLoadOptions, wireSource } from './check-options.ts';
import { loadLocalModel } from './local-model.ts';
import { loadRemoteModel } from './remote-model.ts';
import type { LoadOptions, MambaModel } from './types.ts';
import { clientOf } from './worker-client.ts';

export * from './exports.ts';

/** The address of a model folder, or the files of one (as an `<input webkitdirectory>` or a drop gives them). */
export type ModelSource = string | URL | Iterable<File>;

/**
 * Loads a model, in a worker unless told otherwise. Throws typed errors (`isMambaError`): `FILE_MISSING`, `MODEL_TYPE`,
 * `TENSOR_SHAPE`, `OUT_OF_MEMORY`, `INVALID_OPTION`, ...; the signal's reason where it is aborted.
 */
export async function fromPretrained(source: ModelSource, options: LoadOptions = {}): Promise<MambaModel> {
  checkLoadOptions(options);
  const wire = wireSource(source, (given) => new URL(given, location.href).href);
  if (options.worker === false) return loadLocalModel(await openBrowserSource(wire, options.signal), options);
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  const client = clientOf(
    {
      post: (message) => worker.postMessage(message),
      listen: (onMessage) => worker.addEventListener('message', ({ data }) => onMessage(data)),
    },
    (fail) => worker.addEventListener('error', ({ message }) => fail(new Error(message))),
  );
  return loadRemoteModel({ client, terminate: async () => worker.terminate() }, wire, options);
}
