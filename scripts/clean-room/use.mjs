/** What a stranger does first: run the READMEs' snippets, check their types, and call the program. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readmes, snippetsOf } from '../readmes.mjs';
import { root } from '../setup.mjs';
import { tool } from '../tools.mjs';
import { expect, run, write } from './shell.mjs';

/** Writes the snippets of some READMEs into a project. Returns their paths and what they must print. */
export function writeSnippets(project, which = () => true) {
  return readmes()
    .filter(which)
    .flatMap(({ file: readme }) =>
      snippetsOf(readme).map(({ code, output }, index) => {
        const file = join(project, 'snippets', readme.replaceAll('/', '-').replace('.md', `-${index}.ts`));
        write(file, code);
        return { readme, file, output };
      }),
    );
}

/** Runs them on one Node. */
export async function runSnippets(project, snippets, node) {
  for (const { readme, file, output } of snippets)
    expect(await run(node, [file], { cwd: project }), output, `the output of ${readme}'s snippet`);
}

/** Two strangers: a program for Node, and a page that knows no Node. Both have `dom`, the default: WebAssembly is there. */
const readers = [
  { name: 'node', module: 'nodenext', types: ['node'], snippets: true },
  { name: 'page', module: 'esnext', types: [], snippets: false },
];
const LIB = ['es2024', 'esnext.disposable', 'esnext.float16', 'dom', 'dom.iterable', 'dom.asynciterable'];

/**
 * The declarations of every entry, and the snippets, as each of those compiles them without skipLibCheck; by the
 * workspace's TypeScript (7), and by 6.
 */
export async function checkTypes(project, packages) {
  const entries = packages.flatMap(({ name, manifest }) =>
    Object.keys(manifest.exports ?? {})
      .filter((path) => !/[*]|\.json$/.test(path))
      .map((path) => name + path.slice(1)),
  );
  for (const { name, module, types, snippets } of readers) {
    const imported = entries.filter((entry) => name === 'node' || !entry.endsWith('/node'));
    const uses = imported.map((entry, index) => `import * as entry${index} from '${entry}';\nvoid entry${index};\n`);
    write(join(project, `entries-${name}.ts`), uses.join(''));
    const config = {
      compilerOptions: {
        module,
        moduleResolution: module === 'nodenext' ? module : 'bundler',
        target: 'es2024',
        lib: LIB,
        types,
        typeRoots: [join(root, 'node_modules/@types')],
        strict: true,
        skipLibCheck: false,
        noEmit: true,
      },
      include: [`entries-${name}.ts`, ...(snippets ? ['snippets/*.ts'] : [])],
    };
    const file = join(project, `tsconfig.${name}.json`);
    write(file, JSON.stringify(config));
    for (const tsc of [join(root, 'node_modules/.bin/tsc'), tool('tsc')]) {
      await run(tsc, ['-p', file], { cwd: project });
    }
  }
  return `${entries.length} entries`;
}

/** How the embedded model goes on after "ROMEO:": its record. */
export const greedy = JSON.parse(readFileSync(join(root, 'packages/model-shakespeare/training/greedy.json'), 'utf8'));

/** The installed program: its version, text from the embedded model, one JSON object, and an error that helps. */
export async function callProgram(project, version) {
  const mamba = join(project, 'node_modules/.bin/mamba');
  const call = (...args) => run(mamba, args, { cwd: project });
  expect(await call('--version'), `${version}\n`, 'mamba --version');
  const args = ['run', 'ROMEO:', '--temperature', '0', '--max-tokens', '12'];
  expect(await call(...args), `ROMEO:${greedy.text}\n`, `mamba ${args.join(' ')}`);
  const { ids } = JSON.parse(await call(...args, '--json'));
  expect(ids.join(), greedy.ids.join(), 'the ids of mamba run --json');
  expect(JSON.parse(await call('tokenize', 'ROMEO:', '--json')).ids.length > 0, true, 'mamba tokenize');
  expect(JSON.parse(await call('show', '--json')).parameters, 2890496, 'the parameters of mamba show --json');
  const refused = await call('run', '--model', 'nowhere').catch((error) => error.message);
  if (!/nowhere/.test(refused)) throw new Error(`mamba run --model nowhere does not name the folder: ${refused}`);
}
