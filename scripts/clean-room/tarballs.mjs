/** What the registry would get: built, packed, and looked at from outside. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pnpm, root } from '../setup.mjs';
import { importTool, tool } from '../tools.mjs';
import { run } from './shell.mjs';

/** Scripts that npm runs on a stranger's machine. */
const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall', 'prepare', 'dependencies'];

/** Every package of the workspace that is published: its folder, name, version and manifest. */
export function publishable() {
  return ['packages', 'apps']
    .flatMap((parent) => readdirSync(join(root, parent)).map((name) => join(root, parent, name)))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({ folder, manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) }))
    .filter(({ manifest }) => !manifest.private)
    .map(({ folder, manifest }) => ({ folder, manifest, name: manifest.name, version: manifest.version }));
}

/** `@mamba-ts/kernels` 1.2.3 -> `mamba-ts-kernels-1.2.3.tgz`, as pnpm names it. */
const tarballName = ({ name, version }) => `${name.replace('@', '').replace('/', '-')}-${version}.tgz`;

/** Builds and packs all of them. Returns them with `tarball`, the path of each one's. */
export async function packAll(packages, folder) {
  const filters = packages.map(({ name }) => `--filter=${name}`);
  await run('npx', ['--yes', pnpm, 'exec', 'turbo', 'run', 'build', ...filters, '--output-logs=errors-only'], {
    cwd: root,
    seconds: 300,
  });
  await run('npx', ['--yes', pnpm, '-r', ...filters, 'pack', '--pack-destination', folder], { cwd: root });
  return packages.map((one) => ({ ...one, tarball: join(folder, tarballName(one)) }));
}

/** Every file below a folder, by its path from there. */
function filesBelow(folder, prefix = '') {
  return readdirSync(join(folder, prefix), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(folder, `${prefix}${entry.name}/`) : [`${prefix}${entry.name}`],
  );
}

/** The tarball's package.json, its .wasm files, and what must not be in it. */
export async function inspect({ name, folder, tarball }, scratch) {
  const unpacked = join(scratch, 'unpacked', name);
  mkdirSync(unpacked, { recursive: true });
  await run('tar', ['-xzf', tarball, '-C', unpacked, '--strip-components=1'], { cwd: scratch });
  const manifest = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8'));
  const files = filesBelow(unpacked);
  const problems = [];

  for (const script of INSTALL_SCRIPTS) {
    if (manifest.scripts?.[script]) problems.push(`has the install script "${script}"`);
  }
  if (files.includes('binding.gyp')) problems.push('has a binding.gyp, which npm takes for an install script');
  if (JSON.stringify(manifest).includes('workspace:')) problems.push('depends on something by workspace:');
  const wasm = existsSync(join(folder, 'wasm')) ? readdirSync(join(folder, 'wasm')) : [];
  for (const file of wasm.filter((file) => file.endsWith('.wasm'))) {
    if (!files.includes(`wasm/${file}`)) problems.push(`lacks wasm/${file}`);
  }
  for (const file of files) {
    if (/\.test\.|(^|\/)(node_modules|test|\.turbo)\//.test(file)) problems.push(`holds ${file}`);
  }
  for (const file of ['README.md', 'LICENSE']) if (!files.includes(file)) problems.push(`lacks ${file}`);
  if (problems.length > 0) throw new Error(`the tarball of ${name} ${problems.join('; ')}`);
  return { wasm: files.filter((file) => file.endsWith('.wasm')).length };
}

/** publint (every message counts) and attw (see docs/decisions/2026-11-24-esm-only.md). */
export async function lint({ name, manifest, tarball }, scratch) {
  const { publint } = await importTool('publint');
  const { formatMessage } = await importTool('publint/utils');
  const bytes = readFileSync(tarball);
  const { messages, pkg } = await publint({
    pack: { tarball: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) },
    strict: true,
  });
  if (messages.length > 0) {
    throw new Error(
      `publint on ${name}:\n${messages.map((message) => formatMessage(message, pkg, { color: false })).join('\n')}`,
    );
  }
  if (!manifest.exports) return; // a program: nothing to import
  await run(tool('attw'), [tarball, '--profile', 'esm-only', '--no-color', '--no-emoji'], { cwd: scratch });
}
