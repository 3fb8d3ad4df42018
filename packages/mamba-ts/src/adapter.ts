import { findArchitecture } from '@mamba-ts/layers';
import { type ModelFolder, mergedSource, type OpenedModel, openAdapter } from '@mamba-ts/loaders';

/**
 * The same checkpoint with the adapter of a folder in its weights; as it is where there is no folder. Throws what `openAdapter`
 * and `mergedSource` throw.
 */
export async function withAdapter(
  opened: OpenedModel,
  folder: ModelFolder | undefined,
  signal?: AbortSignal,
): Promise<OpenedModel> {
  if (!folder) return opened;
  const adapter = await openAdapter(folder, signal);
  const { canonicalName } = await findArchitecture(opened.config);
  const weights = mergedSource(opened.weights, adapter, canonicalName);
  return { ...opened, name: `${opened.name}+${adapter.name}`, weights };
}
