/**
 * The dependency arrows, checked from import statements and package.json files. An arrow may be skipped over
 * (apps may import layers), never reversed. Tests are free. `node scripts/check-arrows.mjs` prints what breaks them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join, posix } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { importsOf } from './imports.mjs';

/** Folder under packages/ -> the folders that it points to. Models (`model-*`) are weights: they point to nothing. */
const arrows = {
  tensor: [],
  tokenizer: [],
  kernels: ['tensor'],
  layers: ['tensor'],
  loaders: ['tensor'],
  generate: ['layers'],
  lab: ['generate', 'train', 'layers', 'tensor'],
  train: ['layers', 'loaders', 'tensor'],
  'mamba-ts': ['generate', 'lab', 'train', 'loaders', 'tokenizer', 'kernels'],
};
const backends = ['@mamba-ts/kernels', '@mamba-ts/tensor/reference'];
const isModel = (name) => name.startsWith('model-');

/** Everything that `name` reaches by following arrows. */
function reach(name) {
  const direct = arrows[name] ?? [];
  return new Set(direct.flatMap((next) => [next, ...reach(next)]));
}

/** `@mamba-ts/layers/x` -> `layers`, `mamba-ts` -> `mamba-ts`, `vitest` -> undefined. */
function ours(specifier) {
  if (specifier === 'mamba-ts' || specifier.startsWith('mamba-ts/')) return 'mamba-ts';
  return /^@mamba-ts\/([^/]+)/.exec(specifier)?.[1];
}

const isNodeOnly = (path) => /^packages\/[^/]+\/src\/node(\.ts$|\/)/.test(path);

/**
 * `files` holds path -> text of every package.json and source under packages/ and apps/, by paths from the root.
 * Returns one line per broken rule.
 */
export function checkArrows(files) {
  const problems = [];
  for (const [path, text] of Object.entries(files)) {
    const [parent, folder, ...rest] = path.split('/');
    const isApp = parent === 'apps';
    const allowed = (target) => isApp || reach(folder).has(target);
    const manifest = JSON.parse(files[`${parent}/${folder}/package.json`] ?? '{}');
    // An app is bundled: what it is made of may stand under devDependencies.
    const declared = { ...manifest.dependencies, ...(isApp ? manifest.devDependencies : {}) };

    if (!isApp && !(folder in arrows) && !isModel(folder)) {
      problems.push(`${path}: packages/${folder} has no place in the arrows of scripts/check-arrows.mjs`);
      continue;
    }
    if (rest.join('/') === 'package.json') {
      for (const name of Object.keys(declared)) {
        const target = ours(name);
        if (target !== undefined && !allowed(target)) problems.push(`${path}: ${folder} must not depend on ${name}`);
      }
      continue;
    }
    if (rest[0] !== 'src' || /\.test\.tsx?$/.test(path)) continue;

    for (const { name, line } of importsOf(text)) {
      const say = (message) => problems.push(`${path}:${line}: ${message} (imports '${name}')`);
      const target = ours(name);
      if (target !== undefined && target !== (isApp ? undefined : folder)) {
        if (!allowed(target)) say(`${folder} must not import ${target}`);
        else if (!(target in declared) && !(`@mamba-ts/${target}` in declared))
          say(`package.json of ${folder} does not name ${target} among its dependencies`);
      }
      if (folder === 'layers' && backends.some((backend) => name === backend || name.startsWith(`${backend}/`)))
        say('layers never imports a backend: the caller passes one in');
      if (name.startsWith('.')) {
        const resolved = posix.join(posix.dirname(path), name);
        if (!resolved.startsWith(`${parent}/${folder}/`)) say('a relative path must not leave its package');
        if (!isApp && isNodeOnly(resolved) && !isNodeOnly(path))
          say('only files of the ./node subpath import src/node: the others are bundled for browsers');
      }
      if (!isApp && (name.startsWith('node:') || isBuiltin(name)) && !isNodeOnly(path))
        say('Node modules belong into src/node.ts or src/node/: everything else is bundled for browsers');
    }
  }
  return problems;
}

/** Reads what checkArrows wants from the folder `root`. */
export function readWorkspace(root) {
  const files = {};
  const visit = (path) => {
    for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
      const child = `${path}/${entry.name}`;
      if (entry.isDirectory()) visit(child);
      else if (/\.(ts|tsx|mts|js|mjs)$/.test(entry.name)) files[child] = readFileSync(join(root, child), 'utf8');
    }
  };
  for (const parent of ['packages', 'apps']) {
    for (const folder of readdirSync(join(root, parent))) {
      const manifest = `${parent}/${folder}/package.json`;
      if (!existsSync(join(root, manifest))) continue;
      files[manifest] = readFileSync(join(root, manifest), 'utf8');
      if (existsSync(join(root, parent, folder, 'src'))) visit(`${parent}/${folder}/src`);
    }
  }
  return files;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const files = readWorkspace(fileURLToPath(new URL('..', import.meta.url)));
  const problems = checkArrows(files);
  for (const problem of problems) console.error(problem);
  console.log(`arrows: ${Object.keys(files).length} files, ${problems.length} problems`);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
