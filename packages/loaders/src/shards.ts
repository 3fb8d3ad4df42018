import { isMambaError, MambaError } from '@mamba-ts/tensor';
import type { ByteSource } from './byte-source.ts';
import { checkFileName } from './file-name.ts';
import type { ModelFolder } from './folder.ts';
import { readJsonObject } from './json-file.ts';
import { openSafetensors, type SafetensorsFile } from './safetensors/file.ts';
import { shownName } from './safetensors/header.ts';

/** Bytes of an index: far above 100,000 tensors. */
const INDEX_BYTES = 16 << 20;
const MAX_SHARDS = 1024;

/**
 * Opens the files that `model.safetensors.index.json` names, sorted by name, and checks that each tensor of its
 * `weight_map` is in the file it is said to be in. Tensors that the map leaves out are allowed.
 *
 * Throws `INDEX_SIZE`, `INDEX_JSON`, `INDEX_WEIGHT_MAP` (not a map of file names), `FILE_NAME` (a name that leads out of
 * the folder), `INDEX_FILE` (a file that is missing), `INDEX_TENSOR` (a tensor that is not there), and whatever the files
 * themselves throw. (`INDEX_DUPLICATE` comes with `safetensorsWeights`.)
 */
export async function openShards(folder: ModelFolder, index: string, signal?: AbortSignal): Promise<SafetensorsFile[]> {
  return openShardsBy(openSafetensors, folder, index, signal);
}

/** The same for shards of any format, each opened by `open`. */
export async function openShardsBy<T extends { readonly tensors: ReadonlyMap<string, unknown> }>(
  open: (source: ByteSource, signal?: AbortSignal) => Promise<T>,
  folder: ModelFolder,
  index: string,
  signal?: AbortSignal,
): Promise<T[]> {
  const json = await readJsonObject(await folder.open(index, signal), 'INDEX', INDEX_BYTES, signal);
  const map = json.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw new MambaError('INDEX_WEIGHT_MAP', `${index} has no weight_map (an object: tensor name -> file name)`, {
      file: index,
    });
  }
  const wanted = new Map<string, string[]>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== 'string') {
      throw new MambaError('INDEX_WEIGHT_MAP', `${index}: tensor ${shownName(tensor)} must be mapped to a file name`, {
        file: index,
        tensor,
      });
    }
    const tensors = wanted.get(file);
    if (tensors) tensors.push(tensor);
    else wanted.set(checkFileName(file, index), [tensor]);
  }
  if (wanted.size === 0 || wanted.size > MAX_SHARDS) {
    throw new MambaError('INDEX_WEIGHT_MAP', `${index} names ${wanted.size} files; 1 to ${MAX_SHARDS} are possible`, {
      file: index,
      found: wanted.size,
    });
  }
  const files: T[] = [];
  for (const [name, tensors] of [...wanted].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const file = await open(await openShard(folder, index, name, wanted.size, signal), signal);
    for (const tensor of tensors) {
      if (file.tensors.has(tensor)) continue;
      throw new MambaError(
        'INDEX_TENSOR',
        `${index} says that tensor ${shownName(tensor)} is in ${name}, but it is not: the files are of different downloads`,
        { file: name, tensor },
      );
    }
    files.push(file);
  }
  return files;
}

async function openShard(folder: ModelFolder, index: string, name: string, count: number, signal?: AbortSignal) {
  try {
    return await folder.open(name, signal);
  } catch (error) {
    if (!isMambaError(error, 'FILE_MISSING')) throw error;
    throw new MambaError(
      'INDEX_FILE',
      `${index} needs ${count} file${count === 1 ? '' : 's'}, and ${error.message}. Put it beside the index.`,
      { ...error.details, file: name, index },
      { cause: error },
    );
  }
}
