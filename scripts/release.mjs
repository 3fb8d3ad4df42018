/**
 * `pnpm release`: builds everything and publishes the packages whose version the registry lacks; the release workflow
 * calls it. Provenance wants each manifest to name the repository: in the workflow it is known, and filled in here.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { publishable } from './clean-room/tarballs.mjs';
import { ensureInstalled, pinnedEnvironment, pnpm, root } from './setup.mjs';

function pnpmExec(...args) {
  const { status, error } = spawnSync('npx', ['--yes', pnpm, 'exec', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: pinnedEnvironment(),
  });
  if (error || status !== 0) throw new Error(`${args.join(' ')} failed: ${error?.message ?? `exit code ${status}`}`);
}

const { GITHUB_SERVER_URL, GITHUB_REPOSITORY } = process.env;
try {
  ensureInstalled();
  const packages = publishable();
  pnpmExec('turbo', 'run', 'build', ...packages.map(({ name }) => `--filter=${name}`));
  for (const { folder, manifest } of packages) {
    if (manifest.repository || !GITHUB_REPOSITORY) continue;
    const repository = {
      type: 'git',
      url: `git+${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}.git`,
      directory: relative(root, folder).replaceAll('\\', '/'),
    };
    const file = join(folder, 'package.json');
    writeFileSync(file, `${JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), repository }, null, 2)}\n`);
  }
  pnpmExec('changeset', 'publish');
} catch (error) {
  console.error(`release: ${error.message}`);
  process.exit(1);
}
