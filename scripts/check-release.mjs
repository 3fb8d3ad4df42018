/**
 * What a release would do, tried in scratch copies: `changeset version` bumps what changed and those dependants whose
 * range breaks, and nothing else. With FULL=1 also `pnpm publish -r --dry-run` of everything, built.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { publishable } from './clean-room/tarballs.mjs';
import { ensureInstalled, pinnedEnvironment, pinnedNode, pnpm, root } from './setup.mjs';

const run = (command, args, cwd) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    env: { ...pinnedEnvironment(), CI: 'true' },
  });
  const said = `${stdout}${stderr}${error?.message ?? ''}`;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed:\n${said}`);
  return said;
};

/** Calls `action` with a fresh copy of what git lists here, and removes it. `only` picks files by their path. */
function inCopy(only, action) {
  const copy = mkdtempSync(join(tmpdir(), 'mamba-release-'));
  try {
    const listed = spawnSync('git', ['ls-files', '-coz', '--exclude-standard'], { cwd: root, encoding: 'utf8' }).stdout;
    for (const file of listed.split('\0').filter((path) => path !== '' && only(path) && existsSync(join(root, path)))) {
      mkdirSync(dirname(join(copy, file)), { recursive: true });
      cpSync(join(root, file), join(copy, file));
    }
    run('git', ['init', '--quiet', '--initial-branch=main'], copy);
    return action(copy);
  } finally {
    rmSync(copy, { recursive: true, force: true, maxRetries: 3 });
  }
}

const manifestOf = (copy, folder) => join(copy, folder.slice(root.length), 'package.json');
const changesetVersion = (copy) =>
  run(pinnedNode, [join(root, 'node_modules/@changesets/cli/bin.js'), 'version'], copy);

/** Does `^from` allow `to`? For plain versions, the later one second. */
function caretAllows(from, to) {
  const [a, b] = [from, to].map((version) => version.split('.').map(Number));
  const fixed = a.findIndex((part) => part > 0);
  return a.slice(0, (fixed < 0 ? 2 : fixed) + 1).every((part, index) => part === b[index]);
}

function bump(version, kind) {
  const [major, minor, patch] = version.split('.').map(Number);
  if (kind === 'major') return `${major + 1}.0.0`;
  return kind === 'minor' ? `${major}.${minor + 1}.0` : `${major}.${minor}.${patch + 1}`;
}

/** The versions after a release in which `changed` changed by `kind`: a patch for every dependant whose range breaks. */
function expected(packages, start, changed, kind) {
  const versions = Object.fromEntries(packages.map(({ name }) => [name, start]));
  versions[changed] = bump(start, kind);
  for (let grows = true; grows; ) {
    grows = false;
    for (const { name, manifest } of packages) {
      const broken = Object.keys(manifest.dependencies ?? {}).some(
        (dependency) => dependency in versions && !caretAllows(start, versions[dependency]),
      );
      if (!broken || versions[name] !== start) continue;
      versions[name] = bump(start, 'patch');
      grows = true;
    }
  }
  return versions;
}

const cases = [
  { start: '1.4.2', changed: '@mamba-ts/tensor', kind: 'patch' },
  { start: '1.4.2', changed: '@mamba-ts/tensor', kind: 'minor' },
  { start: '1.4.2', changed: '@mamba-ts/tensor', kind: 'major' },
  { start: '0.3.1', changed: '@mamba-ts/tokenizer', kind: 'patch' },
  { start: '0.3.1', changed: '@mamba-ts/tokenizer', kind: 'minor' },
  { start: '0.3.1', changed: '@mamba-ts/model-shakespeare', kind: 'minor' },
];

/** Only manifests and configuration: all that versions depend on. */
const isConfiguration = (path) =>
  /^(packages|apps)\/[^/]+\/package\.json$|^(package\.json|pnpm-[a-z]+\.yaml|\.changeset\/config\.json)$/.test(path);

function checkBumps(packages) {
  for (const { start, changed, kind } of cases) {
    inCopy(isConfiguration, (copy) => {
      symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
      for (const { folder } of packages) {
        const file = manifestOf(copy, folder);
        writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version: start }));
      }
      writeFileSync(join(copy, '.changeset/one.md'), `---\n'${changed}': ${kind}\n---\n\nA change.\n`);
      changesetVersion(copy);
      const wanted = expected(packages, start, changed, kind);
      const bumped = [];
      for (const { name, folder } of packages) {
        const { version, dependencies = {} } = JSON.parse(readFileSync(manifestOf(copy, folder), 'utf8'));
        if (version !== wanted[name]) {
          throw new Error(`a ${kind} of ${changed} ${start} makes ${name} ${version}, expected ${wanted[name]}`);
        }
        for (const [dependency, range] of Object.entries(dependencies)) {
          if (dependency in wanted && range !== 'workspace:^')
            throw new Error(`${name} asks for ${dependency} ${range}`);
        }
        if (version !== start) bumped.push(`${name} ${version}`);
      }
      console.log(`release: a ${kind} of ${changed} ${start} bumps ${bumped.join(', ')}, and nothing else`);
    });
  }
}

/** The pending changesets, and the publication of what they make, as far as it goes without the registry. */
function rehearse(packages) {
  run('npx', ['--yes', pnpm, 'exec', 'turbo', 'run', 'build', ...packages.map(({ name }) => `--filter=${name}`)], root);
  inCopy(
    () => true,
    (copy) => {
      run('npx', ['--yes', pnpm, 'install', '--frozen-lockfile', '--prefer-offline', '--ignore-scripts'], copy);
      for (const { folder } of packages) {
        if (existsSync(join(folder, 'dist')))
          cpSync(join(folder, 'dist'), join(copy, folder.slice(root.length), 'dist'), { recursive: true });
      }
      changesetVersion(copy);
      const said = run('npx', ['--yes', pnpm, 'publish', '-r', '--dry-run', '--no-git-checks'], copy);
      for (const { name, folder } of packages) {
        const { version } = JSON.parse(readFileSync(manifestOf(copy, folder), 'utf8'));
        if (!said.includes(`${name}@${version}`))
          throw new Error(`${name}@${version} would not be published:\n${said}`);
        console.log(`release: would publish ${name}@${version}`);
      }
    },
  );
}

try {
  ensureInstalled();
  const packages = publishable();
  checkBumps(packages);
  if (process.env.FULL === '1') rehearse(packages);
} catch (error) {
  console.error(`release: ${error.message}`);
  process.exit(1);
}
