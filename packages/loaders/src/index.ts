export {
  type Adapter,
  type AdapterDescription,
  adapterConfigText,
  adapterContent,
  type LowRankUpdate,
  openAdapter,
} from './adapter/file.ts';
export { mergedSource, weightSample } from './adapter/merge.ts';
export {
  type ByteSource,
  blobSource,
  memorySource,
  type ReadOptions,
} from './byte-source.ts';
export { type Checkpoint, type ConvertOptions, type Parameter, recodedSource } from './convert.ts';
export { checkFileName } from './file-name.ts';
export { type ModelFolder, memoryFolder, openFiles, openUrl, type UrlFolder } from './folder.ts';
export { type GgufCheckpoint, type GgufContent, ggufContent } from './gguf/checkpoint.ts';
export { type GgufFile, openGguf, splitName } from './gguf/file.ts';
export type { GgufTensor, GgufValue } from './gguf/header.ts';
export type { GgufDType } from './gguf/mixture.ts';
export { GGUF_LIMITS } from './gguf/types.ts';
export { type GgufField, type GgufTensorToWrite, writeGguf } from './gguf/write.ts';
export { type ChosenFiles, chooseFiles, type WantedFiles } from './hub/choose.ts';
export { checkHubPath, type HubId, hubIdText, isHubId, parseHubId } from './hub/id.ts';
export { expectedFile, type HubFile, type HubListing, listHub } from './hub/listing.ts';
export { HUB_ADDRESS, type HubOptions, hubAddress, type Patience } from './hub/request.ts';
export { type Hasher, Sha256 } from './hub/sha256.ts';
export {
  type ExpectedFile,
  type PartFile,
  type PartRange,
  type TransferOptions,
  transfer,
  verify,
} from './hub/transfer.ts';
export { jsonText, readJsonObject } from './json-file.ts';
export { isGguf, type OpenedModel, openModel } from './model.ts';
export { openPytorch, type PytorchFile, type PytorchTensor, pytorchWeights } from './pytorch/file.ts';
export { safetensorsContent, storedShape } from './safetensors/checkpoint.ts';
export { LIMITS, SAFETENSORS_BITS, type SafetensorsDType } from './safetensors/dtypes.ts';
export { openSafetensors, type SafetensorsFile } from './safetensors/file.ts';
export type { SafetensorsTensor } from './safetensors/header.ts';
export { type TensorToWrite, writeSafetensors } from './safetensors/write.ts';
export { openShards } from './shards.ts';
export {
  type BrowserStorage,
  browserStorage,
  cacheMedium,
  type Medium,
  openMedium,
  opfsMedium,
} from './storage/medium.ts';
export { type ByteRange, PieceFile } from './storage/pieces.ts';
export { type PullOptions, pullModel, storedId } from './storage/pull.ts';
export { type ModelBeingStored, ModelStore, type StoredFileInfo, type StoredModel } from './storage/store.ts';
export { type UrlOptions, type UrlSource, urlSource } from './url.ts';
export { type CheckpointSource, type OtherEntry, renameSource, STAGING_BYTES, safetensorsWeights } from './weights.ts';
