import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ConfigJson, findArchitecture } from '@mamba-ts/layers';
import { jsonText } from '@mamba-ts/loaders';
import { Tokenizer, trainTokenizer } from '@mamba-ts/tokenizer';
import { RunFolder, type RunPlan } from '@mamba-ts/train/node';
import { interruptible, UsageError } from '../failure.ts';
import { printJson, readText } from '../model.ts';
import { ProgressBar } from '../progress.ts';
import { print } from '../terminal.ts';
import { isTokenFile, readTexts } from '../train/data.ts';
import { TRAINED } from '../train/defaults.ts';
import { checkResumed, type GivenOptions, planOf, readConfig, runTraining, settle } from '../train/run.ts';

/** What the command line says; all but `out`, `resume`, `threads`, `html` and `json` is kept in run.json. */
interface TrainOptions extends GivenOptions {
  readonly arch: string;
  readonly config?: string;
  readonly tokenizer?: string;
  readonly vocabSize: number;
}

const SEPARATOR = '<|endoftext|>';

/**
 * `mamba train`: a small model from a text, in a run that may be killed and resumed at any moment. `said` are the names of the
 * options that the command line gives.
 */
export async function trainModel(given: TrainOptions, said: readonly string[]): Promise<void> {
  await interruptible(async (signal) => {
    const folder = new RunFolder(given.out);
    const plan = given.resume ? await folder.readPlan() : await begin(folder, given, signal);
    if ('method' in plan.options) throw new UsageError(`${given.out} holds a run of mamba tune: resume it with that`);
    if (given.resume) checkResumed(plan, given, said);
    const report = await runTraining(folder, plan, given, signal);
    if (!given.json) print(`mamba run --model ${given.out}\n`);
    else printJson(report);
  });
}

/** Makes the folder of a new run: the options, the config, and a tokenizer, learned where none is given. */
async function begin(folder: RunFolder, given: TrainOptions, signal: AbortSignal): Promise<RunPlan> {
  const options = settle('train', given, 100);
  await folder.checkFree();
  const tokenizerJson =
    options.tokenizer === undefined
      ? await learnTokenizer(options.data, options, signal)
      : await readText(await besideTokenizer(options.tokenizer, 'tokenizer.json'), signal);
  const { vocab } = (JSON.parse(tokenizerJson) as { model: { vocab: Record<string, number> } }).model;
  const tokenizer = Tokenizer.fromJSON(tokenizerJson);
  const special =
    vocab[SEPARATOR] === undefined ? {} : { bos_token_id: vocab[SEPARATOR], eos_token_id: vocab[SEPARATOR] };
  const fields = options.config === undefined ? {} : await readConfig(options.config);
  const json: ConfigJson = { ...TRAINED[options.arch]!, vocab_size: tokenizer.vocabSize, ...special, ...fields };
  const architecture = await findArchitecture(json);
  // As transformers reads it, with every field; what it does not know stays in its own layout.
  const config = architecture.huggingFaceConfig?.(json) ?? json;
  architecture.createModel(architecture.parseConfig(config));
  const plan = planOf(options);
  await folder.create(plan, {
    'config.json': jsonText(config),
    'tokenizer.json': tokenizerJson,
    'tokenizer_config.json': await tokenizerConfig(options.tokenizer, vocab[SEPARATOR] !== undefined),
  });
  return plan;
}

async function learnTokenizer(data: string, options: TrainOptions, signal: AbortSignal): Promise<string> {
  if (isTokenFile(data)) throw new UsageError('a file of token ids needs the --tokenizer that made them');
  const { training } = await readTexts(data, options.validation, signal);
  const bar = new ProgressBar('learning a vocabulary');
  try {
    return JSON.stringify(
      trainTokenizer(training, {
        vocabSize: options.vocabSize,
        specialTokens: [SEPARATOR],
        signal,
        onProgress: (done, total) => bar.update(done, total),
      }),
    );
  } finally {
    bar.end();
  }
}

/** A tokenizer.json is named itself, or by its folder: the path of a file beside it, or of itself. */
async function besideTokenizer(path: string, name: string): Promise<string> {
  if ((await stat(path).catch(() => null))?.isDirectory()) return join(path, name);
  return name === 'tokenizer.json' ? path : join(dirname(path), name);
}

/** That of the given tokenizer where it has one. By itself transformers would take one class or another by the model. */
async function tokenizerConfig(given: string | undefined, separated: boolean): Promise<string> {
  const own =
    given && (await readFile(await besideTokenizer(given, 'tokenizer_config.json'), 'utf8').catch(() => null));
  const special = separated ? { bos_token: SEPARATOR, eos_token: SEPARATOR, pad_token: SEPARATOR } : {};
  return (
    own || jsonText({ tokenizer_class: 'PreTrainedTokenizerFast', ...special, clean_up_tokenization_spaces: false })
  );
}
