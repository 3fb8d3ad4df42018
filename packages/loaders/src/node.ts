/** Files and folders on disk and the Hugging Face cache, for Node: `@mamba-ts/loaders/node`. */
export { openFile, openFolder, saveFile, saveSafetensors } from './node/files.ts';
export { type CachedModel, HubCache } from './node/hub-cache.ts';
export { type HubEnvironment, hubEnvironment } from './node/hub-environment.ts';
export { openHubModel, type PulledModel, type PullOptions, pullModel } from './node/hub-pull.ts';
export { type FileToSave, saveFolder } from './node/save-folder.ts';
