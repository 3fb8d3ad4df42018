#!/usr/bin/env node
import { availableParallelism } from 'node:os';
import { DTYPES, MambaError } from '@mamba-ts/tensor';
import { Argument, Command, CommanderError, Option } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { failWith, UsageError } from './failure.ts';
import { channels, fraction, integer, lengths, names, nonNegative, positive } from './numbers.ts';
import { visible } from './terminal.ts';

// Only this file and the parser load for --help; each command's own code is imported when it runs.
const program = new Command('mamba')
  .description('Run, score and measure selective state space models (Mamba).')
  .version(manifest.version)
  .exitOverride()
  .configureOutput({ writeErr: (text) => process.stderr.write(visible(text)) })
  .showHelpAfterError('(add --help for the options)');

const model = (): Option =>
  new Option(
    '--model <model>',
    'folder, GGUF file, address or hub id (ORG/NAME) of a checkpoint (default: the embedded one)',
  );
const adapter = (): Option =>
  new Option('--adapter <dir>', 'folder or address of a LoRA adapter, merged into the weights as they are read');
const state = (): Option =>
  new Option('--state <file>', 'a tuned state (mamba tune --method state): what every text begins with');
const backend = (): Option =>
  new Option('--backend <name>', 'kernels to run on')
    .choices(['auto', 'reference', 'wasm-simd', 'wasm-relaxed'])
    .default('auto');
const threads = (): Option =>
  new Option('--threads <n>', 'threads of the kernels (default: as many as the machine has cores)').argParser(
    integer(1),
  );
const skipBelow = (): Option =>
  new Option(
    '--skip-below <eps>',
    'leave out updates of the state that are smaller, such as 0.03: an approximation (Mamba-1 and 2)',
  ).argParser(positive);
const json = (): Option => new Option('--json', 'print one JSON object on stdout and nothing else');

/** The names of the options that the command line gives. */
const saidOf = (command: Command): string[] =>
  command.options
    .map((option) => option.attributeName())
    .filter((name) => command.getOptionValueSource(name) === 'cli');

/** The options that say which model writes, and how. */
const writing = (command: Command, stops: readonly string[]): Command =>
  command
    .addOption(model())
    .addOption(adapter())
    .addOption(state())
    .option('--max-tokens <n>', 'tokens to generate at most', integer(0), 200)
    .option('--temperature <t>', '0 takes the likeliest token every time', nonNegative, 0.8)
    .option('--top-k <k>', 'choose among the k likeliest tokens; 0 for no limit', integer(0), 0)
    .option('--top-p <p>', 'choose among the likeliest tokens of together probability p', fraction, 1)
    .option('--min-p <p>', 'drop tokens less likely than p times the likeliest', fraction, 0)
    .option('--repetition-penalty <r>', 'above 1: shy away from tokens that came before', positive, 1)
    .option('--seed <s>', 'the same seed gives the same text (default: random)', integer(0))
    .option(
      '--stop <text>',
      'end before this text; may be given several times',
      (text: string, all: readonly string[]) => (all === stops ? [text] : [...all, text]),
      stops,
    );

writing(program.command('run'), [])
  .description('generate text')
  .argument('[prompt]', 'how the text begins; read from stdin where none is given and stdin is not a terminal')
  .addOption(backend())
  .addOption(threads())
  .addOption(skipBelow())
  .addOption(json())
  .action(async (prompt, options) => (await import('./commands/run.ts')).run(prompt, options));

writing(program.command('chat'), ['\n\n'])
  .description('talk to the model by its chat template, else write a text with it; takes lines back, forks, saves')
  .option('--load <file>', 'go on with a saved conversation, with its settings unless others are given')
  .option('--template <file>', "a Jinja chat template in place of the model's own")
  .option('--no-template', 'no chat template: lines join the text as they are')
  .option('--system <text>', 'what the conversation begins with, where the template has a place for it')
  .addOption(backend())
  .addOption(threads())
  .addOption(json())
  .action(async (options, command: Command) =>
    (await import('./commands/chat.ts')).chat(options, (name) => command.getOptionValueSource(name) === 'cli'),
  );

program
  .command('score')
  .description('how well a model predicts a text, in nats per token')
  .addOption(model())
  .addOption(adapter())
  .addOption(state())
  .option('--text <file>', 'a UTF-8 text')
  .option('--ids <file>', 'a JSON array of token ids')
  .option('--window <n>', 'reset the state before inputs 0, n, 2n, …', integer(1))
  .option('--logits <file>', 'write f32 logits [tokens, vocab_size] as safetensors')
  .addOption(backend())
  .addOption(threads())
  .addOption(skipBelow())
  .addOption(json())
  .action(async (options) => (await import('./commands/score.ts')).score(options));

program
  .command('quality')
  .description('what a quantisation costs: how several versions of a model predict a text, compared with the first')
  .argument('<model...>', 'folders, GGUF files, addresses or hub ids (ORG/NAME) of checkpoints with one vocabulary')
  .requiredOption('--text <file>', 'a UTF-8 text')
  .option('--window <n>', 'reset the state before inputs 0, n, 2n, …', integer(1))
  .option('--max-tokens <n>', 'read the first n tokens of the text only', integer(2))
  .option('--sensitivity', 'of one model: which tensors suffer most where each alone is quantised')
  .addOption(
    new Option('--dtype <dtype>', 'with --sensitivity: what each is quantised to')
      .choices(['q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'])
      .default('q4_0'),
  )
  .addOption(backend())
  .addOption(threads())
  .addOption(json())
  .action(async (models, options) => {
    if (options.sensitivity) await (await import('./commands/sensitivity.ts')).tensorSensitivity(models, options);
    else await (await import('./commands/quality.ts')).modelQuality(models, options);
  });

program
  .command('bench')
  .description('measure speed against the limits of this machine')
  .addOption(model())
  .option('--random <size>', 'random weights of a published size, such as mamba-130m')
  .addOption(new Option('--dtype <dtype>', 'of random weights').choices(Object.keys(DTYPES)).default('f16'))
  .option('--prompt-tokens <n>', 'tokens of the prompt', integer(1), 512)
  .option('--gen-tokens <n>', 'tokens to decode after it', integer(1), 128)
  .option('--repeat <n>', 'measurements of each figure', integer(1), 5)
  .option('--suite', 'a table of sizes, dtypes and threads, in Node and in Chromium, with the targets of the project')
  .option(
    '--against <list>',
    'with --suite: also wllama and llama.cpp on the same files, in turn (installed by npm)',
    names,
  )
  .option('--sizes <list>', 'with --suite: published sizes', names, ['mamba-130m', 'mamba2-130m', 'pythia-160m'])
  .option('--dtypes <list>', 'with --suite: of their weights', names, ['q8_0', 'q4_k'])
  .option('--threads-list <list>', 'with --suite: numbers of threads', lengths, [1, 2])
  .option('--html <file>', 'with --suite: draw it')
  .addOption(backend())
  .addOption(threads())
  .addOption(skipBelow())
  .addOption(json())
  .action(async (options, command: Command) => {
    const others = options.suite
      ? ['random', 'threads', 'skipBelow', 'backend', 'dtype', ...(options.model ? ['sizes', 'dtypes'] : [])]
      : ['against', 'html', 'sizes', 'dtypes', 'threadsList'];
    const said = saidOf(command).filter((name) => others.includes(name));
    const wrong = command.options.find((option) => said.includes(option.attributeName()));
    if (wrong) {
      const why = options.suite ? 'does not go with' : 'needs';
      throw new UsageError(`${wrong.long} ${why} --suite${options.suite && options.model ? ' --model' : ''}`);
    }
    if (options.suite) await (await import('./commands/bench-suite.ts')).benchSuite(options);
    else await (await import('./commands/bench.ts')).bench(options);
  });

program
  .command('compare')
  .description('head to head: time, memory and operations of several models by length of the text')
  .option(
    '--models <list>',
    'checkpoints, as for --model, separated by commas (default: the embedded Mamba and Transformer)',
    names,
  )
  .option('--random <list>', 'published sizes with random weights, such as mamba-130m,pythia-160m', names)
  .addOption(new Option('--dtype <dtype>', 'of random weights').choices(Object.keys(DTYPES)).default('f16'))
  .option('--lengths <list>', 'tokens of the texts, ascending', lengths, [128, 512, 2048, 8192])
  .option('--repeat <n>', 'times each text is read, as far as the budget goes', integer(1), 3)
  .option('--budget <seconds>', 'leave out what does not fit, and extrapolate it', positive, 600)
  .option('--text <file>', 'also tell how well each model predicts this text, by position')
  .option('--svg <file>', 'write the picture')
  .option('--html <file>', 'write picture, words and numbers as one page')
  .option('--csv <file>', 'write the numbers')
  .addOption(backend())
  .addOption(threads())
  .addOption(json())
  .action(async (options) => (await import('./commands/compare.ts')).compareModels(options));

program
  .command('inspect')
  .description('what a text does to the state: what each layer lets in, lets go and reads back, token by token')
  .argument('[text]', 'at most 512 tokens; read from stdin where none is given')
  .addOption(model())
  .option('--layer <n>', 'whose hidden attention to show (default: the one that chooses most)', integer(0))
  .option('--channels <range>', 'the group of channels it is the mean of, such as 0-15 (default: all)', channels)
  .option('--html <file>', 'write pictures, words and figures as one page')
  .addOption(backend())
  .addOption(threads())
  .addOption(json())
  .action(async (text, options) => (await import('./commands/inspect.ts')).inspectText(text, options));

const dtypes = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_k', 'q5_k', 'q6_k'];

program
  .command('convert')
  .description('write a checkpoint in another layout or type, with its config and tokenizer')
  .argument('<in>', 'folder, GGUF file, address or hub id (ORG/NAME) of a checkpoint')
  .argument('<out>', 'a GGUF file, or a new folder in Hugging Face layout')
  .addOption(
    new Option('--to <format>', 'what to write (default: gguf where <out> ends in .gguf)').choices([
      'safetensors',
      'gguf',
    ]),
  )
  .addOption(
    new Option('--dtype <dtype>', 'of the matrices; safetensors hold the first three (default: as they are)').choices(
      dtypes,
    ),
  )
  .addOption(adapter())
  .addOption(json())
  .action(async (from, to, options) => (await import('./commands/convert.ts')).convert(from, to, options));

program
  .command('quantize')
  .description(
    'convert to a GGUF file of a smaller type; q4_k and q5_k are the mixtures Q4_K_M and Q5_K_M of llama.cpp',
  )
  .argument('<in>', 'folder, GGUF file, address or hub id (ORG/NAME) of a checkpoint')
  .argument('<out>', 'the GGUF file to write')
  .addOption(new Option('--dtype <dtype>', 'of the matrices').choices(dtypes).default('q4_k'))
  .addOption(adapter())
  .addOption(json())
  .action(async (from, to, options) =>
    (await import('./commands/convert.ts')).convert(from, to, { ...options, to: 'gguf' }),
  );

/** The options of a run that learns from a text. */
const learning = (
  command: Command,
  { rate, warmup, weightDecay, evalEvery }: Record<string, number | undefined>,
): Command =>
  command
    .option('--data <file>', 'a text, JSON lines of {"text": …}, or token ids (.u16, .u32)')
    .requiredOption('--out <dir>', 'folder of the run and of what comes of it')
    .option('--steps <n>', 'steps of the run', integer(1))
    .option('--minutes <n>', 'or its length: 20 steps are timed, then the number is fixed', positive)
    .option('--resume', 'go on with the run in --out, with its options')
    .option('--batch <n>', 'pieces of text in one pass', integer(1), 8)
    .option('--length <n>', 'tokens of each', integer(1), 256)
    .option('--accumulate <n>', 'passes of one step', integer(1), 1)
    .option(
      '--rate <r>',
      `learning rate at its peak${rate === undefined ? ' (default: that of the method)' : ''}`,
      positive,
      rate,
    )
    .option(
      '--warmup <n>',
      `steps in which it rises (default: ${warmup}, at most a quarter of --steps; 20 with --minutes)`,
      integer(0),
    )
    .addOption(new Option('--schedule <shape>', 'how it goes on').choices(['cosine', 'wsd']).default('cosine'))
    .option('--decay <n>', 'of wsd: last steps, in which it falls', integer(0), 0)
    .option('--floor <share>', 'where it ends, as a share of the peak', fraction, 0.05)
    .option('--weight-decay <w>', 'of matrices', nonNegative, weightDecay)
    .option('--dropout <p>', 'share of each residual branch', fraction, 0)
    .option('--ema <d>', 'keep a moving average of the weights with this decay, and save it', fraction)
    .option('--validation <share>', 'last part of the data, kept apart', fraction, 0.1)
    .option('--eval-every <n>', 'steps between two looks at it', integer(1), evalEvery)
    .option('--save-every <n>', 'steps between two checkpoints', integer(1), 100)
    .option('--keep <n>', 'checkpoints that are kept', integer(1), 2)
    .option('--seed <s>', 'the same seed gives the same weights', integer(0), 0)
    .option(
      '--threads <n>',
      'threads that compute; the result is the same for any number',
      integer(1),
      Math.min(4, availableParallelism()),
    )
    .option('--html <file>', 'a page with the losses, redrawn as it goes')
    .addOption(backend())
    .addOption(json());

learning(
  program
    .command('train')
    .description('train a small model on a text; killed at any moment, --resume goes on to the same bits')
    .addOption(
      new Option('--arch <name>', 'architecture')
        .choices(['mamba', 'mamba2', 'mamba3', 'gpt-neox', 'llama'])
        .default('mamba'),
    )
    .option('--config <file>', 'fields of config.json other than those of the small default model')
    .option('--tokenizer <path>', 'tokenizer.json, or a folder with one (default: learned from the text)')
    .option('--vocab-size <n>', 'of a vocabulary that is learned', integer(257), 1024),
  { rate: 1.5e-3, warmup: 100, weightDecay: 0.1, evalEvery: 200 },
).action(async (options, command: Command) =>
  (await import('./commands/train.ts')).trainModel(options, saidOf(command)),
);

learning(
  program
    .command('tune')
    .description(
      'go on training a model on a text: all of it, a LoRA adapter beside its weights, or the state that its texts begin with',
    )
    .addOption(model())
    .addOption(new Option('--method <name>', 'what is trained').choices(['full', 'lora', 'state']).default('lora'))
    .option('--rank <n>', 'of lora: rank of the updates', integer(1), 8)
    .option('--alpha <a>', 'of lora: their factor is alpha / rank', positive, 16)
    .option(
      '--targets <list>',
      'of lora: ends of the names of layers (default: in_proj,x_proj,dt_proj,out_proj; of a Transformer its attention)',
      names,
    ),
  { rate: undefined, warmup: 20, weightDecay: 0, evalEvery: 50 },
).action(async (options, command: Command) => (await import('./commands/tune.ts')).tuneModel(options, saidOf(command)));

program
  .command('task')
  .description(
    'what selection is for: trains small models side by side on a synthetic task of the paper, and counts right answers',
  )
  .addArgument(
    new Argument('<task>', 'what they must be able to do').choices(['selective-copying', 'induction-heads', 'parity']),
  )
  .option('--models <list>', 'of lti,mamba,mamba2,mamba3,transformer; lti is Mamba-1 without selection', names)
  .option('--length <n>', 'of the longest sequences to learn from (default: that of the task)', integer(1))
  .option('--from <n>', 'of the shortest: each step has one length between (default: that of the task)', integer(1))
  .option('--test-lengths <list>', 'of the sequences to test with, beside it (default: those of the task)', lengths)
  .option('--steps <n>', 'steps of each training (default: enough for the task)', integer(1))
  .option('--minutes <n>', 'or minutes of training in all, shared equally by the models', positive)
  .option('--batch <n>', 'sequences of a step (default: that of the task)', integer(1))
  .option('--rate <r>', 'learning rate at its peak (default: that of the task)', positive)
  .option('--width <n>', 'of the models, a multiple of 16 (default: that of the task)', integer(16))
  .option('--layers <n>', 'of the models (default: those of the task)', integer(1))
  .option('--seed <s>', 'the same seed gives the same sequences, weights and answers', integer(0), 0)
  .option(
    '--threads <n>',
    'threads that compute; the result is the same for any number',
    integer(1),
    Math.min(4, availableParallelism()),
  )
  .option('--svg <file>', 'write the picture')
  .addOption(backend())
  .addOption(json())
  .action(async (task, options) => (await import('./commands/task.ts')).runTasks(task, options));

program
  .command('tokenizer')
  .description('vocabularies')
  .command('train')
  .description('learn a byte-level BPE vocabulary from a text')
  .requiredOption('--data <file>', 'a text, or JSON lines of {"text": …}')
  .requiredOption('--out <file>', 'the tokenizer.json to write')
  .option('--vocab-size <n>', 'tokens', integer(257), 1024)
  .option('--min-frequency <n>', 'pairs that occur less often stay apart', integer(1), 1)
  .addOption(json())
  .action(async (options) => (await import('./commands/tokenizer-train.ts')).tokenizerTrain(options));

program
  .command('tokenize')
  .description('text to token ids')
  .argument('[text]', 'read from stdin where none is given')
  .addOption(model())
  .addOption(json())
  .action(async (text, options) => (await import('./commands/tokenize.ts')).tokenize(text, options));

program
  .command('show')
  .description('what a checkpoint is: architecture, parameters, dtypes, memory')
  .argument('[model]', 'folder, GGUF file, address or hub id (ORG/NAME) of a checkpoint (default: the embedded one)')
  .addOption(json())
  .action(async (source, options) => (await import('./commands/show.ts')).show(source, options));

program
  .command('pull')
  .description('download a model from the hub into the cache that is shared with Python')
  .argument('<model>', 'ORG/NAME[@REVISION][:FILE]')
  .option('--dtype <dtype>', 'the least precise weights that serve: q4_k prefers a GGUF file of that type')
  .addOption(json())
  .action(async (id, options) => (await import('./commands/pull.ts')).pull(id, options));

program
  .command('ls')
  .description('the models in the cache, with their sizes')
  .addOption(json())
  .action(async (options) => (await import('./commands/cache.ts')).list(options));

program
  .command('rm')
  .description('remove models from the cache')
  .argument('<models...>', 'ORG/NAME')
  .addOption(json())
  .action(async (ids, options) => (await import('./commands/cache.ts')).remove(ids, options));

for (const command of program.commands) {
  if (['ls', 'rm'].includes(command.name())) continue;
  command.option('--offline', 'ask no hub: use what is in the cache (as HF_HUB_OFFLINE=1)');
}
program.hook('preAction', (_, command) => {
  if (command.opts().offline) process.env.HF_HUB_OFFLINE = '1';
});

// Whoever reads stdout may have seen enough (`mamba run | head`): that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  failWith(new MambaError('FILE_WRITE', `stdout cannot be written (${error.code})`));
  process.exit();
});
// Nor is it where nobody hears the remarks: the result counts.
process.stderr.on('error', () => {});

try {
  if (process.argv.length <= 2) program.help();
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else failWith(error);
}
