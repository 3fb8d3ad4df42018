/** Packages taken alone, without the weight of the others; budgets.mjs says how much is allowed. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { importTool } from '../tools.mjs';
import { alone, tarballs } from './budgets.mjs';
import { step, write } from './shell.mjs';
import { createProject } from './strangers.mjs';
import { runSnippets, writeSnippets } from './use.mjs';

const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;

function within(bytes, limit, what) {
  if (bytes > limit) {
    throw new Error(`${what} is ${kB(bytes)}, allowed are ${kB(limit)} (scripts/clean-room/budgets.mjs)`);
  }
  return `${what} ${kB(bytes)} of ${kB(limit)}`;
}

export const checkTarball = ({ name, tarball }) =>
  within(statSync(tarball).size, tarballs[name] ?? tarballs.default, 'tarball');

/** All exports of a package and what they need, minified and gzipped. */
async function bundledBytes(project, name) {
  const entry = join(project, 'all.mjs');
  write(entry, `export * from '${name}';\n`);
  const { default: sizeLimit } = await importTool('size-limit');
  const plugins = ['@size-limit/esbuild', '@size-limit/file'].map(importTool);
  const check = {
    files: [entry],
    gzip: true,
    modifyEsbuildConfig: (config) => ({ ...config, format: 'esm', platform: 'browser' }),
  };
  const [{ size }] = await sizeLimit(
    (await Promise.all(plugins)).map((plugin) => plugin.default),
    { checks: [check] },
  );
  return size;
}

/** Each package of the budgets alone: installs what it may, runs its README's snippets, and stays light. */
export async function checkAlone(folder, packages, nodes) {
  for (const { name, installs, script, wasm } of alone) {
    await step(`${name} alone`, async () => {
      const project = join(folder, `alone-${name.replace('@mamba-ts/', '')}`);
      const installed = await createProject(project, [name], packages);
      const expected = [name, ...installs].sort().join(', ');
      const found = installed.sort().join(', ');
      if (found !== expected) throw new Error(`npm installed ${found}, expected ${expected}`);
      const snippets = writeSnippets(project, ({ file }) =>
        file.endsWith(`/${name.replace('@mamba-ts/', '')}/README.md`),
      );
      if (snippets.length === 0) throw new Error(`the README of ${name} has no snippet`);
      for (const node of nodes) await runSnippets(project, snippets, node);
      const weights = [within(await bundledBytes(project, name), script, 'bundled and gzipped')];
      if (wasm !== undefined) {
        const place = join(project, 'node_modules', name, 'wasm');
        const files = readdirSync(place).filter((file) => file.endsWith('.wasm'));
        const bytes = files.reduce((sum, file) => sum + statSync(join(place, file)).size, 0);
        weights.push(within(bytes, wasm, 'its .wasm'));
      }
      return weights.join(', ');
    });
  }
}
