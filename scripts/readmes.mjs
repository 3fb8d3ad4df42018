/** The READMEs whose snippets must print what they say: the root's and each package's. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './setup.mjs';

/** A ```ts block that a ```text block follows. */
const SNIPPET = /```ts\n([\s\S]*?)```\n+```text\n([\s\S]*?)```/g;

/** `name` for people, `file` from the root, and the `folder` whose dependencies its snippets may import. */
export function readmes() {
  const packages = readdirSync(join(root, 'packages'))
    .map((name) => ({ name, file: `packages/${name}/README.md`, folder: `packages/${name}` }))
    .filter(({ folder }) => existsSync(join(root, folder, 'package.json')));
  return [{ name: 'root', file: 'README.md', folder: 'apps/cli' }, ...packages];
}

/** The snippets of a README: their `code`, and the `output` that they must print. */
export function snippetsOf(file) {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(SNIPPET)].map(([, code, output]) => ({ code, output }));
}
