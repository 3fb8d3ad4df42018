import { bytesText } from '@mamba-ts/lab';
import { parseHubId } from '@mamba-ts/loaders';
import { HubCache, hubEnvironment } from '@mamba-ts/loaders/node';
import { UsageError } from '../failure.ts';
import { printJson } from '../model.ts';
import { note } from '../progress.ts';
import { print } from '../terminal.ts';

const openCache = (): HubCache => new HubCache(hubEnvironment().cache);

/** `mamba ls`: the models in the cache, with their sizes. */
export async function list({ json }: { json?: boolean }): Promise<void> {
  const cache = openCache();
  const models = await cache.list();
  const bytes = models.reduce((sum, model) => sum + model.bytes + model.incompleteBytes, 0);
  if (json) {
    printJson({
      cache: cache.root,
      bytes,
      models: models.map(({ id, bytes, incompleteBytes, refs, commits, modified }) => ({
        model: id,
        bytes,
        incomplete_bytes: incompleteBytes,
        refs,
        commits,
        modified: new Date(modified).toISOString(),
      })),
    });
    return;
  }
  const width = Math.max(0, ...models.map(({ id }) => id.length));
  for (const { id, bytes, incompleteBytes, refs } of models) {
    const unfinished = incompleteBytes > 0 ? `  and ${bytesText(incompleteBytes)} of an unfinished download` : '';
    print(`${id.padEnd(width)}  ${bytesText(bytes).padStart(9)}  ${Object.keys(refs).join(' ')}${unfinished}\n`);
  }
  note(`${models.length} models, ${bytesText(bytes)} in ${cache.root}`);
}

/** `mamba rm ORG/NAME…`: all names are checked before the first model is removed. */
export async function remove(ids: readonly string[], { json }: { json?: boolean }): Promise<void> {
  const cache = openCache();
  for (const text of ids) {
    const { repo } = parseHubId(text);
    if (repo !== text) throw new UsageError(`rm removes whole models: mamba rm ${repo}`);
  }
  const held = new Map((await cache.list()).map((model) => [model.id, model.bytes + model.incompleteBytes]));
  const removed: { model: string; bytes: number }[] = [];
  for (const id of ids) {
    await cache.remove(id);
    removed.push({ model: id, bytes: held.get(id) ?? 0 });
  }
  if (json) printJson({ cache: cache.root, removed });
  else for (const { model, bytes } of removed) note(`${model}: ${bytesText(bytes)} removed`);
}
