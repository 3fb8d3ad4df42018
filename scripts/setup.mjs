/**
 * What `npm start`, `npm test` and `pnpm mamba` need before they can run, done only where something changed.
 * Needs Node 20 with npm, and nothing installed. Everything said here goes to stderr: stdout belongs to the CLI.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));
export const pinnedNode = join(root, 'node_modules/node/bin/node');
export const cliPath = join(root, 'apps/cli/dist/cli.js');

const installStamp = join(root, 'node_modules/.mamba-stamp');
const buildStamp = join(root, '.stamps/build.json');

/** The pinned pnpm, as `npx --yes` takes it. */
export const pnpm = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).packageManager;

/** The environment of everything that is started here: the pinned Node first, and no tool that calls home. */
export function pinnedEnvironment() {
  const path = `${dirname(pinnedNode)}${delimiter}${process.env.PATH ?? ''}`;
  return {
    ...process.env,
    PATH: path,
    DO_NOT_TRACK: '1',
    TURBO_TELEMETRY_DISABLED: '1',
    TURBO_NO_UPDATE_NOTIFIER: '1',
  };
}

/** Installs the packages of pnpm-lock.yaml, unless the last installation was of the same. */
export function ensureInstalled() {
  const hash = createHash('sha256');
  const manifests = workspaceFolders().map((folder) => join(folder, 'package.json'));
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml', 'package.json', ...manifests]) {
    hash
      .update(file)
      .update('\0')
      .update(readFileSync(join(root, file)))
      .update('\0');
  }
  const wanted = hash.digest('hex');
  if (existsSync(pinnedNode) && existsSync(installStamp) && readFileSync(installStamp, 'utf8') === wanted) return;
  step('installing packages', ['install', '--frozen-lockfile', '--reporter=append-only']);
  writeFileSync(installStamp, wanted);
}

/** Builds the CLI, unless it stands and none of its sources changed since. */
export function ensureBuilt() {
  const before = existsSync(buildStamp) ? JSON.parse(readFileSync(buildStamp, 'utf8')) : {};
  const { sources, same, touched } = readSources(before);
  if (!same || !existsSync(cliPath)) {
    step('building the CLI', ['exec', 'turbo', 'run', 'build', '--filter=@mamba-ts/cli', '--output-logs=errors-only']);
    if (!existsSync(cliPath)) fail(`the build passed, but left no ${cliPath}`);
  } else if (!touched) {
    return;
  }
  mkdirSync(dirname(buildStamp), { recursive: true });
  writeFileSync(buildStamp, JSON.stringify(sources));
}

/**
 * Runs the pinned Node and returns the exit code that a shell would show: 130 after an interrupt, 143 after SIGTERM.
 * `stdin` is 'inherit' or 'ignore'.
 */
export function runNode(args, { cwd = root, stdin = 'inherit' } = {}) {
  const child = spawn(pinnedNode, args, { cwd, stdio: [stdin, 'inherit', 'inherit'], env: pinnedEnvironment() });
  // A terminal interrupts every process of its foreground group by itself: passed on, the signal would arrive twice.
  const terminal = [0, 1, 2].some((fd) => isatty(fd));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      if (signal !== 'SIGINT' || !terminal) child.kill(signal);
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve(code ?? 128 + (constants.signals[signal] ?? 0)));
  });
}

/** Says one line on stderr. */
export function say(message) {
  process.stderr.write(`mamba-ts: ${message}\n`);
}

function fail(message) {
  say(message);
  process.exit(1);
}

/** Runs the pinned pnpm with its stdout on our stderr. npx fetches it once, then takes it from npm's cache. */
function step(what, pnpmArgs) {
  say(`${what}…`);
  const start = performance.now();
  const { status, signal, error } = spawnSync('npx', ['--yes', pnpm, ...pnpmArgs], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    // CI=true: pnpm asks no questions.
    env: { ...pinnedEnvironment(), CI: 'true' },
  });
  if (signal) process.exit(128 + (constants.signals[signal] ?? 0));
  if (error || status !== 0)
    fail(`${what} failed${error ? `: ${error.message}` : ''} (npx ${pnpm} ${pnpmArgs.join(' ')})`);
  say(`${what}: done in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

function workspaceFolders() {
  return ['packages', 'apps'].flatMap((parent) =>
    existsSync(join(root, parent))
      ? readdirSync(join(root, parent))
          .sort()
          .map((name) => `${parent}/${name}`)
          .filter((folder) => existsSync(join(root, folder, 'package.json')))
      : [],
  );
}

/**
 * Every file that the CLI is built from, as path -> [mtime, size, sha256]. Contents are read only where time or size
 * differ from `before`, so that an unchanged tree costs one stat per file, and a fresh checkout of the same no build.
 */
function readSources(before) {
  const sources = {};
  let same = true;
  let touched = false;
  const visit = (path) => {
    const stat = statSync(join(root, path));
    if (stat.isDirectory()) {
      for (const name of readdirSync(join(root, path)).sort()) visit(`${path}/${name}`);
      return;
    }
    if (path.endsWith('.test.ts')) return;
    const old = before[path];
    if (old && old[0] === stat.mtimeMs && old[1] === stat.size) {
      sources[path] = old;
      return;
    }
    touched = true;
    const digest = createHash('sha256')
      .update(readFileSync(join(root, path)))
      .digest('hex');
    sources[path] = [stat.mtimeMs, stat.size, digest];
    if (!old || old[2] !== digest) same = false;
  };
  for (const file of ['pnpm-lock.yaml', 'tsconfig.base.json', 'turbo.json']) visit(file);
  for (const folder of workspaceFolders()) {
    if (folder.startsWith('apps/') && folder !== 'apps/cli') continue;
    for (const name of readdirSync(join(root, folder)).sort()) {
      const built = folder === 'apps/cli' && name === 'wasm'; // copied there by the build
      if ((['src', 'wasm'].includes(name) && !built) || /\.(js|mjs|ts|json)$/.test(name)) visit(`${folder}/${name}`);
    }
  }
  if (Object.keys(before).some((path) => !(path in sources))) same = false;
  return { sources, same, touched };
}
