import { MambaError, readToF32 } from '@mamba-ts/tensor';
import type { ModelFolder } from '../folder.ts';
import { jsonText, readJsonObject } from '../json-file.ts';
import { openSafetensors } from '../safetensors/file.ts';
import { shownName } from '../safetensors/header.ts';
import type { TensorToWrite } from '../safetensors/write.ts';
import { type CheckpointSource, safetensorsWeights } from '../weights.ts';

/** What is added to one matrix W `[outputs, inputs]`: scale B A, of a rank far below its own (LoRA, Hu et al. 2021). */
export interface LowRankUpdate {
  readonly inputs: number;
  readonly outputs: number;
  readonly rank: number;
  /** `[rank, inputs]`. */
  readonly a: Float32Array;
  /** `[outputs, rank]`. */
  readonly b: Float32Array;
  /** alpha / rank. */
  readonly scale: number;
  /** `weightSample` of the W that it was trained on; null where the file does not tell, as PEFT's do not. */
  readonly base: string | null;
}

/** Updates of the weights of a model that is not part of it, as PEFT keeps them. */
export interface Adapter {
  /** The folder's. */
  readonly name: string;
  /** By the name of the weight: `backbone.layers.0.mixer.in_proj.weight`. */
  readonly updates: ReadonlyMap<string, LowRankUpdate>;
}

/** Tells a folder that holds an adapter. */
export const ADAPTER_CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
const CONFIG_BYTES = 1 << 20;
/** In the metadata of the weights: JSON, `weightSample` by name. PEFT has no place for it, and reads past it. */
const BASE_KEY = 'base_weights';
const PREFIX = 'base_model.model.';
const TENSOR = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

/** Fields that change what an adapter does, with the values that leave it a plain sum. */
const PLAIN: Readonly<Record<string, (value: unknown) => boolean>> = {
  peft_type: (value) => value === 'LORA',
  bias: (value) => value === 'none',
  use_dora: (value) => value === false,
  use_qalora: (value) => value === false,
  fan_in_fan_out: (value) => value === false,
  lora_bias: (value) => value === false,
  modules_to_save: (value) => Array.isArray(value) && value.length === 0,
  rank_pattern: isEmpty,
  alpha_pattern: isEmpty,
  layer_replication: isEmpty,
  trainable_token_indices: isEmpty,
  target_parameters: isEmpty,
  alora_invocation_tokens: isEmpty,
  arrow_config: isEmpty,
  kasa_config: isEmpty,
  monteclora_config: isEmpty,
  velora_config: isEmpty,
  use_bdlora: (value) => value === false,
  // Others begin by changing the weights beneath.
  init_lora_weights: (value) => typeof value === 'boolean' || value === 'gaussian' || value === 'orthogonal',
};

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/**
 * Opens an adapter folder in PEFT's layout: adapter_config.json and adapter_model.safetensors. Throws `FILE_MISSING`,
 * `ADAPTER_CONFIG_SIZE`, `ADAPTER_CONFIG_JSON`, `ADAPTER_CONFIG` (a rank or an alpha that is none), `ADAPTER_KIND` (not LoRA, or one
 * of its variants), `ADAPTER_TENSOR` (a name, type or shape that does not fit), and what `openSafetensors` throws.
 */
export async function openAdapter(folder: ModelFolder, signal?: AbortSignal): Promise<Adapter> {
  const config = await readJsonObject(
    await folder.open(ADAPTER_CONFIG, signal),
    'ADAPTER_CONFIG',
    CONFIG_BYTES,
    signal,
  );
  const { rank, scale } = sizesOf(config);
  const weights = safetensorsWeights([await openSafetensors(await folder.open(WEIGHTS, signal), signal)]);
  const base = baseOf(weights);
  const updates = new Map<string, LowRankUpdate>();
  for (const { name, shape } of weights.entries.values()) {
    const [, module, side] = TENSOR.exec(name) ?? refuse(name, 'is no part of a LoRA of a linear layer');
    if (side === 'B') {
      if (!weights.entries.has(`${PREFIX}${module}.lora_A.weight`)) refuse(name, 'has no lora_A beside it');
      continue;
    }
    const other = weights.entries.get(`${PREFIX}${module}.lora_B.weight`) ?? refuse(name, 'has no lora_B beside it');
    if (shape.length !== 2 || shape[0] !== rank) refuse(name, `has the shape [${shape}], expected [${rank}, inputs]`);
    if (other.shape.length !== 2 || other.shape[1] !== rank) {
      refuse(other.name, `has the shape [${other.shape}], expected [outputs, ${rank}]`);
    }
    const weight = `${module}.weight`;
    updates.set(weight, {
      inputs: shape[1]!,
      outputs: other.shape[0]!,
      rank,
      a: await readToF32(weights, name, signal),
      b: await readToF32(weights, other.name, signal),
      scale,
      base: base?.[weight] ?? null,
    });
  }
  const odd = [...weights.others.values()][0];
  if (odd) refuse(odd.name, `is of the type ${odd.dtype}`);
  if (updates.size === 0) throw new MambaError('ADAPTER_TENSOR', `${folder.name}/${WEIGHTS} holds no tensors`);
  return { name: folder.name, updates };
}

function sizesOf(config: Record<string, unknown>): { rank: number; scale: number } {
  for (const [field, isPlain] of Object.entries(PLAIN)) {
    const value = config[field];
    if ((value === undefined || value === null) && field !== 'peft_type') continue;
    if (isPlain(value)) continue;
    throw new MambaError(
      'ADAPTER_KIND',
      `${ADAPTER_CONFIG} says ${field} = ${JSON.stringify(value)?.slice(0, 60)}, which is not supported: only plain LoRA is. ` +
        'Merge the adapter with PEFT (merge_and_unload) and load the result as a model',
      { field },
    );
  }
  const { r, lora_alpha: alpha, use_rslora: rooted } = config;
  if (
    typeof r !== 'number' ||
    !Number.isSafeInteger(r) ||
    r < 1 ||
    typeof alpha !== 'number' ||
    !Number.isFinite(alpha)
  ) {
    throw new MambaError('ADAPTER_CONFIG', `${ADAPTER_CONFIG} must name a rank r >= 1 and a number lora_alpha`);
  }
  return { rank: r, scale: alpha / (rooted === true ? Math.sqrt(r) : r) };
}

/** What the file says of the weights that it was trained on. A mangled text says nothing. */
function baseOf({ metadata }: CheckpointSource): Readonly<Record<string, string>> | null {
  try {
    return JSON.parse(metadata.get(BASE_KEY) ?? 'null') as Readonly<Record<string, string>> | null;
  } catch {
    return null;
  }
}

function refuse(name: string, why: string): never {
  throw new MambaError('ADAPTER_TENSOR', `tensor ${shownName(name)} of ${WEIGHTS} ${why}`, { tensor: name });
}

/** What adapter_config.json says of an adapter that is to be written. */
export interface AdapterDescription {
  readonly rank: number;
  readonly alpha: number;
  /** Ends of the names of its layers: `in_proj`. */
  readonly targets: readonly string[];
  /** Where the model lies that it belongs to, for PEFT; null for nowhere in particular. */
  readonly base: string | null;
}

/** The text of adapter_config.json, as PEFT reads it. */
export function adapterConfigText({ rank, alpha, targets, base }: AdapterDescription): string {
  return jsonText({
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    inference_mode: true,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    target_modules: targets,
    bias: 'none',
    fan_in_fan_out: false,
  });
}

/** The tensors and the metadata of adapter_model.safetensors, in f32, for `writeSafetensors`. */
export function adapterContent(updates: ReadonlyMap<string, LowRankUpdate>): {
  readonly tensors: readonly TensorToWrite[];
  readonly metadata: Readonly<Record<string, string>>;
} {
  const tensors: TensorToWrite[] = [];
  const base: Record<string, string> = {};
  for (const [weight, update] of updates) {
    const { inputs, outputs, rank, a, b } = update;
    const module = PREFIX + weight.replace(/\.weight$/, '');
    tensors.push(
      { name: `${module}.lora_A.weight`, dtype: 'f32', shape: [rank, inputs], data: bytesOfF32(a) },
      { name: `${module}.lora_B.weight`, dtype: 'f32', shape: [outputs, rank], data: bytesOfF32(b) },
    );
    if (update.base !== null) base[weight] = update.base;
  }
  return { tensors, metadata: { format: 'pt', [BASE_KEY]: JSON.stringify(base) } };
}

const bytesOfF32 = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
