/** Projects that have nothing but tarballs, and the Nodes that strangers have. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pinnedNode } from '../setup.mjs';
import { run, write } from './shell.mjs';

/** The newest of the older majors that we support; 26 is the workspace's own. */
const NODES = { 22: '22.23.3', 24: '24.21.0' };

const npm = (args, cwd) => run('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd, seconds: 300 });

/**
 * An empty project with some packages installed by npm from their tarballs. What those depend on comes from tarballs
 * too, but only where they do depend on it.
 */
export async function createProject(folder, wanted, packages) {
  const tarballs = Object.fromEntries(packages.map(({ name, tarball }) => [name, `file:${tarball}`]));
  const dependencies = Object.fromEntries(wanted.map((name) => [name, tarballs[name]]));
  const overrides = Object.fromEntries(Object.entries(tarballs).filter(([name]) => !(name in dependencies)));
  const manifest = { name: 'stranger', private: true, type: 'module', dependencies, overrides };
  write(join(folder, 'package.json'), JSON.stringify(manifest, null, 2));
  await npm(['install'], folder);
  const lock = JSON.parse(readFileSync(join(folder, 'node_modules/.package-lock.json'), 'utf8'));
  for (const [path, { hasInstallScript, link }] of Object.entries(lock.packages)) {
    if (hasInstallScript) throw new Error(`${path} runs a script when it is installed`);
    if (link) throw new Error(`${path} is a link: the project does not stand alone`);
  }
  return Object.keys(lock.packages).map((path) => path.split('node_modules/').at(-1));
}

/** The programs of Node 22, 24 and 26, by version. */
export async function fetchNodes(folder) {
  const nodes = {};
  for (const [major, version] of Object.entries(NODES)) {
    const place = join(folder, `node-${major}`);
    write(join(place, 'package.json'), '{ "private": true }');
    await npm(['install', `node@${version}`], place);
    nodes[version] = join(place, 'node_modules/node/bin/node');
  }
  nodes[(await run(pinnedNode, ['--version'], { cwd: folder })).trim().slice(1)] = pinnedNode;
  for (const [version, path] of Object.entries(nodes)) {
    const found = (await run(path, ['--version'], { cwd: folder })).trim();
    if (found !== `v${version}`) throw new Error(`${path} is Node ${found}, expected v${version}`);
  }
  return nodes;
}
