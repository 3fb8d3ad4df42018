/**
 * The tools of tools/package.json, which only checks of packages and releases need: installed on demand, exactly as
 * tools/pnpm-lock.yaml says, so that `npm start` and `npm test` do not pay for them.
 *
 *   node scripts/tools.mjs NAME ARGUMENTS   installs them where they are missing, and runs one in the root
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { pinnedEnvironment, pnpm, root, say } from './setup.mjs';

const toolsFolder = join(root, 'tools');
const stamp = join(toolsFolder, 'node_modules/.mamba-stamp');

/** Installs the tools, unless they are what the lockfile says. */
export function ensureTools() {
  const lockfile = readFileSync(join(toolsFolder, 'pnpm-lock.yaml'));
  const wanted = createHash('sha256').update(lockfile).digest('hex');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return;
  say('installing the tools of tools/…');
  const args = ['--yes', pnpm, 'install', '--frozen-lockfile', '--reporter=append-only'];
  const { status, error } = spawnSync('npx', args, {
    cwd: toolsFolder,
    stdio: ['ignore', 2, 2],
    env: { ...pinnedEnvironment(), CI: 'true' },
  });
  if (error || status !== 0) throw new Error(`npx ${args.join(' ')} failed in tools/: ${error?.message ?? status}`);
  writeFileSync(stamp, wanted);
}

/** The path of a tool's program. */
export const tool = (name) => join(toolsFolder, 'node_modules/.bin', name);

/** A tool as a module. */
export const importTool = (name) =>
  import(pathToFileURL(createRequire(join(toolsFolder, 'package.json')).resolve(name)).href);

if (argv[1] === fileURLToPath(import.meta.url)) {
  ensureTools();
  const { status } = spawnSync(tool(argv[2]), argv.slice(3), { cwd: root, stdio: 'inherit', env: pinnedEnvironment() });
  process.exitCode = status ?? 1;
}
