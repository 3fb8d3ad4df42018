import { isHubId } from '@mamba-ts/loaders';
import { type BrowserSource, openBrowserSource } from './browser-source.ts';
import { checkLoadOptions, wireSource } from './check-options.ts';
import type { KeptSource } from './kept-model.ts';
import { loadLocalModel } from './local-model.ts';
import { loadRemoteModel } from './remote-model.ts';
import type { LoadOptions, MambaModel } from './types.ts';
import { clientOf, LOCKED } from './worker-client.ts';

export { isHubId, ModelStore, type StoredFileInfo, type StoredModel, storedId } from '@mamba-ts/loaders';
export * from './exports.ts';
export type { KeptSource };

/**
 * A hub id (`org/name`), the address of a model folder or of a GGUF file (relative ones begin with `./` or `/`), the files
 * of a model (as an `<input>` or a drop gives them), or a hub id or an address to keep: `{ keep: '...' }`. What comes from
 * the hub is always kept.
 */
export type ModelSource = string | URL | Iterable<File> | KeptSource;

/**
 * Loads a model, in a worker unless told otherwise. Throws typed errors (`isMambaError`): `FILE_MISSING`, `MODEL_TYPE`,
 * `TENSOR_SHAPE`, `OUT_OF_MEMORY`, `INVALID_OPTION`, ...; the signal's reason where it is aborted.
 */
export async function fromPretrained(source: ModelSource, options: LoadOptions = {}): Promise<MambaModel> {
  checkLoadOptions(options);
  const wire = browserSource(source);
  const adapter = options.adapter === undefined ? undefined : wireSource(options.adapter, addressOf);
  // Only a page may ask, a worker not. Not waited for: a browser may ask the visitor, who may not answer.
  if (typeof wire === 'object' && 'keep' in wire) navigator.storage?.persist?.().catch(() => {});
  if (options.worker === false) return loadLocalModel(await openBrowserSource(wire, { ...options, adapter }), options);
  // Its name is that of a lock which the worker holds as long as it lives.
  const name = `mamba-ts ${Date.now()} ${Math.random()}`;
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name });
  const client = clientOf(
    {
      post: (message) => worker.postMessage(message),
      listen: (onMessage) => worker.addEventListener('message', ({ data }) => onMessage(data)),
    },
    (fail) => {
      // Without a message: the script itself.
      worker.addEventListener('error', ({ message }) => fail(new Error(message ?? 'its script cannot be loaded')));
      // A worker that is killed tells nobody, but its lock comes free. After `dispose` nobody is left to be told.
      worker.addEventListener('message', ({ data }) => {
        if (data !== LOCKED) return;
        navigator.locks.request(name, () => fail(new Error('it was killed'))).catch(() => {});
      });
    },
  );
  return loadRemoteModel({ client, terminate: async () => worker.terminate() }, wire, options, adapter);
}

const addressOf = (given: string | URL): string => new URL(given, location.href).href;

function browserSource(source: ModelSource): BrowserSource {
  if (typeof source === 'string' && isHubId(source)) return { keep: source };
  if (typeof source === 'object' && source !== null && 'keep' in source) {
    return { keep: isHubId(source.keep) ? source.keep : addressOf(source.keep) };
  }
  return wireSource(source, addressOf);
}
