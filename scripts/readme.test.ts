import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

// Every README's ```ts block that a ```text block follows is run as it stands, and its output compared.
const root = fileURLToPath(new URL('..', import.meta.url));
const SNIPPET = /```ts\n([\s\S]*?)```\n+```text\n([\s\S]*?)```/g;

/** The README, and the folder whose dependencies its snippet may import. */
const readmes: [readme: string, folder: string][] = [
  ['README.md', 'apps/cli'],
  ...readdirSync(join(root, 'packages')).map((name): [string, string] => [
    `packages/${name}/README.md`,
    `packages/${name}`,
  ]),
];

function run(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [file], (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

test.each(readmes)('%s prints what it says', async (readme, folder) => {
  const text = await readFile(join(root, readme), 'utf8');
  const snippets = [...text.matchAll(SNIPPET)];
  // model-shakespeare holds weights, and code only to find them.
  if (!readme.includes('model-shakespeare')) expect(snippets.length).toBeGreaterThan(0);
  for (const [index, [, code, output]] of snippets.entries()) {
    const file = join(root, folder, `readme-snippet-${index}.ts`);
    await writeFile(file, code!);
    try {
      expect(await run(file)).toBe(output);
    } finally {
      await rm(file);
    }
  }
});
