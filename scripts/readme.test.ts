import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readmes, snippetsOf } from './readmes.mjs';
import { root } from './setup.mjs';

// Every README's ```ts block that a ```text block follows is run as it stands, and its output compared; here in the
// workspace, in `pnpm clean-room` as a stranger who installed the tarballs.
function run(file: string): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [file], (error, stdout) => (error ? reject(error) : resolve(stdout)));
  });
}

test.each(readmes())('$file prints what it says', async ({ file: readme, folder }) => {
  const snippets = snippetsOf(readme);
  expect(snippets.length).toBeGreaterThan(0);
  for (const [index, { code, output }] of snippets.entries()) {
    expect(code, 'a snippet runs anywhere: no paths of this checkout').not.toMatch(/['"]\.\.?\//);
    const file = join(root, folder, `readme-snippet-${index}.ts`);
    await writeFile(file, code);
    try {
      expect(await run(file)).toBe(output);
    } finally {
      await rm(file);
    }
  }
});
