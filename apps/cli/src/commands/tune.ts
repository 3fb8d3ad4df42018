import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  type Architecture,
  type ConfigJson,
  encodeState,
  findArchitecture,
  loadLanguageModel,
  type ModelDefinition,
} from '@mamba-ts/layers';
import { adapterConfigText, adapterContent, jsonText, type OpenedModel } from '@mamba-ts/loaders';
import { saveFile, saveSafetensors } from '@mamba-ts/loaders/node';
import { MambaError } from '@mamba-ts/tensor';
import { createReferenceBackend } from '@mamba-ts/tensor/reference';
import {
  defaultTargets,
  INITIAL_STATE,
  loraPairs,
  lowRankUpdates,
  readParameters,
  type Trainer,
  type Tuning,
} from '@mamba-ts/train';
import { RunFolder, type RunPlan, type TunedModel } from '@mamba-ts/train/node';
import { interruptible, UsageError } from '../failure.ts';
import { openSource, printJson } from '../model.ts';
import { print } from '../terminal.ts';
import { checkResumed, type GivenOptions, planOf, type RunOptions, runTraining, settle } from '../train/run.ts';

/** What the command line says; run.json keeps it as `mamba train` does, with a hash of the base. */
interface TuneOptions extends Omit<GivenOptions, 'rate'> {
  readonly model?: string;
  readonly method: Tuning['method'];
  readonly rank: number;
  readonly alpha: number;
  readonly targets?: readonly string[];
  readonly rate?: number;
}

/** What run.json holds of them. */
interface KeptOptions extends Omit<TuneOptions, keyof RunOptions>, RunOptions {
  readonly targets: readonly string[];
  /** SHA-256 of the weights that the run began with. */
  readonly base: string;
}

/** Learning rates at which each method learns and does not diverge. */
const RATES: Readonly<Record<Tuning['method'], number>> = { full: 3e-4, lora: 2e-3, state: 2e-2 };
const STATE_FILE = 'tuned.state';

/** A trained model, opened for a run. */
interface Base {
  readonly opened: OpenedModel;
  readonly architecture: Architecture;
  readonly definition: ModelDefinition;
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly hash: string;
}

/**
 * `mamba tune`: a trained model goes on with another text. The base is read and never written. `said` are the names of the
 * options that the command line gives.
 */
export async function tuneModel(given: TuneOptions, said: readonly string[]): Promise<void> {
  await interruptible(async (signal) => {
    const folder = new RunFolder(given.out);
    const resumed = given.resume ? await folder.readPlan() : null;
    if (resumed && !('method' in resumed.options)) {
      throw new UsageError(`${given.out} holds a run of mamba train: resume it with that`);
    }
    if (resumed) checkResumed(resumed, given, said);
    const before = resumed?.options as unknown as KeptOptions | undefined;
    const rate = given.rate ?? RATES[given.method];
    const settled = resumed ? null : settle('tune', { ...given, rate }, 20);
    if (settled) await folder.checkFree();
    const base = await openBase(before ? before.model : given.model, signal);
    const plan = resumed ?? (await begin(folder, settled!, base));
    const options = plan.options as unknown as KeptOptions;
    if (options.base !== base.hash) {
      throw new MambaError(
        'RUN_BASE',
        `the weights of ${base.opened.name} are not those that this run began with: put them back, or begin a new run`,
        { expected: options.base, found: base.hash },
      );
    }
    const report = await runTraining(folder, plan, given, signal, await tunedModel(folder, options, base));
    if (given.json) printJson({ ...report, method: options.method });
    else print(`mamba run ${useOf(options, given.out)}\n`);
  });
}

/** How `mamba run` is told of the result. */
function useOf({ method, model }: KeptOptions, out: string): string {
  const base = model === undefined ? '' : `--model ${model} `;
  return method === 'full'
    ? `--model ${out}`
    : `${base}${method === 'lora' ? `--adapter ${out}` : `--state ${join(out, STATE_FILE)}`}`;
}

async function openBase(model: string | undefined, signal: AbortSignal): Promise<Base> {
  const opened = await openSource(model, signal);
  const architecture = await findArchitecture(opened.config);
  const definition = architecture.createModel(architecture.parseConfig(opened.config as ConfigJson));
  const values = await readParameters(architecture, definition, opened.weights);
  const hash = createHash('sha256');
  for (const [name, { buffer, byteOffset, byteLength }] of values) {
    hash.update(name).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return { opened, architecture, definition, values, hash: hash.digest('hex') };
}

/** Makes the folder of a new run: its options, and what of the base goes with any model. */
async function begin(
  folder: RunFolder,
  options: RunOptions & TuneOptions,
  { opened, architecture, definition, hash }: Base,
): Promise<RunPlan> {
  const { method, model, targets = method === 'lora' ? defaultTargets(definition) : [] } = options;
  if (method === 'lora') loraPairs(definition, { ...options, targets });
  const { tokenizerJson, tokenizerConfig, chatTemplate, generationConfig } = opened;
  if (!tokenizerJson) {
    throw new MambaError('NO_TOKENIZER', `${opened.name} has no tokenizer.json. Put it beside the weights`, {
      model: opened.name,
    });
  }
  const json = opened.config as ConfigJson;
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  const { options: kept, steps, version } = planOf(options);
  const plan: RunPlan = {
    version,
    options: {
      ...kept,
      ...(model !== undefined && existsSync(model) ? { model: resolve(model) } : {}),
      targets,
      base: hash,
    },
    steps,
  };
  await folder.create(plan, {
    'config.json': jsonText(architecture.huggingFaceConfig?.(json) ?? json),
    'tokenizer.json': text(tokenizerJson),
    ...(tokenizerConfig ? { 'tokenizer_config.json': text(tokenizerConfig) } : {}),
    ...(chatTemplate ? { 'chat_template.jinja': text(chatTemplate) } : {}),
    ...(generationConfig ? { 'generation_config.json': jsonText(generationConfig) } : {}),
  });
  return plan;
}

/** What is trained, and how its best values are kept. */
async function tunedModel(folder: RunFolder, options: KeptOptions, base: Base): Promise<TunedModel> {
  const { method, rank, alpha, targets, seed, model } = options;
  const { definition, values } = base;
  if (method === 'lora') {
    const pairs = loraPairs(definition, options);
    const save = async (trainer: Trainer): Promise<void> => {
      const { tensors, metadata } = adapterContent(lowRankUpdates(pairs, options, values, trainer.values()));
      await saveSafetensors(join(folder.path, 'adapter_model.safetensors'), tensors, metadata);
      const config = adapterConfigText({ rank, alpha, targets, base: model ?? null });
      await saveFile(join(folder.path, 'adapter_config.json'), [new TextEncoder().encode(config)]);
    };
    return { base: values, tuning: { method, rank, alpha, targets, seed }, save };
  }
  if (method === 'state') {
    const owner = await ownerOf(base);
    const save = (trainer: Trainer): Promise<void> =>
      saveFile(join(folder.path, STATE_FILE), [encodeState(owner, 0, trainer.values().get(INITIAL_STATE)!)]);
    return { base: values, tuning: { method }, save };
  }
  return { base: values, tuning: { method }, save: (trainer) => folder.saveModel(trainer) };
}

/** Whose state it will be: as the model is loaded to run, in the types of its file. */
async function ownerOf({ opened, architecture }: Base) {
  const backend = createReferenceBackend();
  const model = await loadLanguageModel(architecture, opened.config as ConfigJson, opened.weights, backend);
  const { stateOwner } = model;
  backend.dispose();
  return stateOwner;
}
