/**
 * `node scripts/make-model.mjs NAME DATA RUN`: makes the model of packages/model-NAME from the text DATA by its recipe,
 * scripts/models/NAME.json. Trains in the folder RUN, writes the weights as f16 into the package, and into its folder
 * training/ the log, its chart, what came out, and how the model goes on after "ROMEO:". Killed at any moment, the same
 * command goes on with the run. Needs the pinned Node 26 (it imports TypeScript).
 */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { lossSvg } from '@mamba-ts/train';
import { cliPath, ensureBuilt, ensureInstalled, root } from './setup.mjs';

const recipes = join(root, 'scripts/models');

/** Twins have these in common, so that what differs is the architecture. */
const SCHEDULE = [
  // A Transformer must have seen the 512 positions on which it is scored.
  ...['--batch', '4', '--length', '512'],
  ...['--steps', '1100', '--rate', '0.003', '--schedule', 'wsd', '--decay', '300', '--dropout', '0.2'],
];

/** Whether there is a recipe of this name. */
const known = (name) => name !== undefined && existsSync(join(recipes, `${name}.json`));

/** The arguments of `mamba train`, and the folder in the package for what comes out. */
export function recipeOf(name) {
  const { folder, train } = JSON.parse(readFileSync(join(recipes, `${name}.json`), 'utf8'));
  return { folder, train: [...train, ...SCHEDULE] };
}

/** What `mamba ARGS --json` prints. Its progress goes to this terminal; a recipe's paths start at its folder. */
export function mamba(...args) {
  const options = { cwd: recipes, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 1 << 26 };
  return JSON.parse(execFileSync(process.execPath, [cliPath, ...args, '--json'], options));
}

/** What a model makes of the last tenth of the text, which its training never saw. */
function validate(model, data) {
  const text = readFileSync(data, 'utf8');
  const scratch = mkdtempSync(join(tmpdir(), 'mamba-validation-'));
  try {
    const file = join(scratch, 'validation.txt');
    writeFileSync(file, text.slice(Math.floor(0.9 * text.length)));
    const { tokens, nats_per_token, bits_per_byte } = mamba(
      ...['score', '--model', model, '--text', file, '--window', '512'],
    );
    return { tokens, nats_per_token, bits_per_byte };
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Trains, or goes on with it, and fills the folder of the package. */
export function make(name, data, run, target = join(root, 'packages', `model-${name}`)) {
  const { train, folder } = recipeOf(name);
  const begun = existsSync(join(run, 'run.json'));
  const { out: _, ...trained } = mamba(
    ...['train', ...(begun ? ['--resume'] : [...train, '--data', data]), '--out', run],
  );
  const [model, training] = [join(target, folder), join(target, 'training')];
  mkdirSync(training, { recursive: true });
  rmSync(model, { recursive: true, force: true });
  mamba('convert', run, model, '--dtype', 'f16');

  const save = (file, value) => writeFileSync(join(training, file), `${JSON.stringify(value, null, 2)}\n`);
  copyFileSync(join(run, 'log.jsonl'), join(training, 'log.jsonl'));
  const lines = readFileSync(join(run, 'log.jsonl'), 'utf8').trimEnd().split('\n');
  const points = lines.map((line) => JSON.parse(line));
  writeFileSync(join(training, 'loss.svg'), `${lossSvg(points, trained.steps)}\n`);
  save('result.json', { ...trained, as_stored: validate(model, data), cpu: cpus()[0].model });
  const prompt = 'ROMEO:';
  const { ids, text } = mamba('run', prompt, '--model', model, '--temperature', '0', '--max-tokens', '12');
  save('greedy.json', { prompt, ids, text });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [name, data, run] = process.argv.slice(2);
  if (!known(name) || run === undefined) {
    console.error('usage: node scripts/make-model.mjs NAME DATA RUN; NAME is that of a recipe in scripts/models');
    process.exit(2);
  }
  ensureInstalled();
  ensureBuilt();
  make(name, resolve(data), resolve(run));
}
