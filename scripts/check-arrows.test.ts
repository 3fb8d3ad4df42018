import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkArrows, readWorkspace } from './check-arrows.mjs';
import { importsOf } from './imports.mjs';

const manifest = (...names: string[]): string =>
  JSON.stringify({ dependencies: Object.fromEntries(names.map((name) => [name, 'workspace:^'])) });

/** Problems of one source file in a package whose package.json names `dependencies`. */
function check(path: string, source: string, dependencies: string[] = []): string[] {
  const [parent, folder] = path.split('/');
  return checkArrows({ [`${parent}/${folder}/package.json`]: manifest(...dependencies), [path]: source });
}

describe('the checkout', () => {
  test('keeps its arrows', () => {
    const files = readWorkspace(fileURLToPath(new URL('..', import.meta.url)));
    expect(Object.keys(files).length).toBeGreaterThan(10);
    expect(checkArrows(files)).toEqual([]);
  });
});

/** What opens a substitution inside the template strings below, which are text here. */
const open = '$' + '{';

describe('importsOf', () => {
  test.each([
    ["import { a, type B as C } from 'x';", ['x']],
    ["import a, * as b from 'x';\nimport 'y'", ['x', 'y']],
    ["import type { A } from 'x';", ['x']],
    ["import { 'odd name' as a } from 'x';", ['x']],
    ["export * from 'x'; export * as y from 'y'; export { z } from 'z'; export type { Q } from 'q';", [...'xyzq']],
    ['const a = await import(`x`);', ['x']],
    ["type A = import('x').A;", ['x']],
    ["const a = () => import(/* @vite-ignore */ 'x');", ['x']],
    ["new Worker(new URL('./w.ts', import.meta.url)); import.meta.resolve('x')", ['./w.ts', 'x']],
    ["const fs = require('x');", ['x']],
    ["const quote = /['\"`]/.test(s) ? a / b : c; import 'x';", ['x']],
    [`const t = \`a ${open}f({ a: \`b ${open}c}\` })} d\`; import 'x';`, ['x']],
  ])('%s', (source, names) => {
    expect(importsOf(source).map(({ name }) => name)).toEqual(names);
  });

  test.each([
    "// import 'x'",
    "/** `import('x')` and /* import 'y' */",
    'const s = "import \'x\'";',
    `const t = \`import 'x' ${open}1} import 'y'\`;`,
    "const r = /import 'x'/;",
    "export const from = 'x';",
    "export type From = 'x';",
    "export function from(): 'x' {}",
    "array.import('x'); Array.from('x');",
    'await import(name);',
  ])('nothing in %s', (source) => {
    expect(importsOf(source)).toEqual([]);
  });

  test('names the line, past multi-line comments and templates', () => {
    expect(importsOf(`/*\n*/ \`\n${open}1}\n\`\nimport 'x'`)).toEqual([{ name: 'x', line: 5 }]);
  });
});

describe('checkArrows', () => {
  test.each([
    ['packages/tensor/src/a.ts', "import '@mamba-ts/layers';", 'tensor must not import layers'],
    ['packages/tokenizer/src/a.ts', "import type { A } from '@mamba-ts/tensor';", 'tokenizer must not import tensor'],
    ['packages/layers/src/a.ts', "await import('@mamba-ts/generate');", 'layers must not import generate'],
    ['packages/layers/src/a.ts', "import '@mamba-ts/kernels';", 'never imports a backend'],
    ['packages/layers/src/a.ts', "import '@mamba-ts/tensor/reference';", 'never imports a backend'],
    ['packages/loaders/src/a.ts', "export * from 'mamba-ts';", 'loaders must not import mamba-ts'],
    ['packages/generate/src/a.ts', "import '@mamba-ts/loaders';", 'generate must not import loaders'],
    ['packages/kernels/src/a.ts', "import '@mamba-ts/layers';", 'kernels must not import layers'],
    ['packages/mamba-ts/src/a.ts', "import '@mamba-ts/model-shakespeare';", 'must not import model-shakespeare'],
    ['packages/model-x/src/a.ts', "import '@mamba-ts/tensor';", 'model-x must not import tensor'],
    ['packages/kernels/src/a.ts', "import '../../tensor/src/index.ts';", 'must not leave its package'],
    ['packages/kernels/src/a.ts', "import 'node:fs';", 'Node modules belong'],
    ['packages/kernels/src/a.ts', "const { readFile } = await import('fs/promises');", 'Node modules belong'],
    ['packages/kernels/src/index.ts', "export * from './node.ts';", 'only files of the ./node subpath'],
    ['packages/kernels/src/nodes.ts', "import 'node:fs';", 'Node modules belong'],
    ['packages/new/src/a.ts', '', 'has no place in the arrows'],
  ])('%s: %s', (path, source, problem) => {
    expect(check(path, source, ['@mamba-ts/tensor']).join('\n')).toContain(problem);
  });

  test('an import that package.json does not name', () => {
    expect(check('packages/layers/src/a.ts', "import '@mamba-ts/tensor';")).toEqual([
      "packages/layers/src/a.ts:1: package.json of layers does not name tensor among its dependencies (imports '@mamba-ts/tensor')",
    ]);
  });

  test('a dependency against the arrows, without an import', () => {
    expect(check('packages/tensor/src/a.ts', '', ['@mamba-ts/kernels'])).toEqual([
      'packages/tensor/package.json: tensor must not depend on @mamba-ts/kernels',
    ]);
  });

  test.each([
    ['packages/layers/src/a.ts', "import { type A } from '@mamba-ts/tensor';", ['@mamba-ts/tensor']],
    ['packages/generate/src/a.ts', "import '@mamba-ts/tensor';", ['@mamba-ts/tensor']],
    ['packages/kernels/src/node.ts', "import 'node:fs'; import './node/pool.ts'; import './index.ts';", []],
    ['packages/kernels/src/node/pool.ts', "import 'node:worker_threads'; import '../node.ts';", []],
    ['packages/layers/src/a.test.ts', "import 'node:fs'; import '@mamba-ts/tensor/reference';", []],
    ['packages/tensor/src/a.ts', "import '@mamba-ts/tensor/reference';", []],
    [
      'apps/cli/src/a.ts',
      "import 'node:fs'; import 'mamba-ts'; import '@mamba-ts/layers';",
      ['mamba-ts', '@mamba-ts/layers'],
    ],
  ])('allows %s: %s', (path, source, dependencies) => {
    expect(check(path, source, dependencies)).toEqual([]);
  });
});
