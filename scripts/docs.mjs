/**
 * `pnpm run docs`: pages of every exported symbol, from the docstrings, in dist-docs/. `--check` writes nothing. Both
 * fail where an exported symbol has no docstring, or where a link in one leads nowhere. By TypeDoc, with TypeScript 6.
 */
import { join } from 'node:path';
import { publishable } from './clean-room/tarballs.mjs';
import { ensureInstalled, root } from './setup.mjs';
import { ensureTools, importTool } from './tools.mjs';

const output = join(root, 'dist-docs');

/** The sources behind `exports`, as [name to import, file]. A worker's entry exports nothing. */
function entriesOf({ name, folder, manifest }) {
  return Object.entries(manifest.exports ?? {}).flatMap(([path, target]) => {
    const file = target.types ?? target.default ?? target;
    return path !== './worker' && file.endsWith('.ts') ? [[name + path.slice(1), join(folder, file)]] : [];
  });
}

ensureInstalled();
ensureTools();
const { Application } = await importTool('typedoc');
const packages = publishable();
const entries = packages.flatMap(entriesOf);
const app = await Application.bootstrap({
  name: 'Mamba for TypeScript',
  entryPoints: entries.map(([, file]) => file),
  tsconfig: join(root, 'tsconfig.json'),
  compilerOptions: { skipLibCheck: true },
  readme: 'none',
  basePath: root,
  displayBasePath: root,
  disableGit: true,
  disableSources: true,
  excludePrivate: true,
  excludeInternal: true,
  packagesRequiringDocumentation: packages.map(({ name }) => name),
  // Not properties: what a name and its interface's docstring do not say stands beside them.
  requiredToBeDocumented: ['Enum', 'Variable', 'Function', 'Class', 'Interface', 'TypeAlias', 'Method', 'Accessor'],
  validation: { notExported: false, invalidLink: true, notDocumented: true },
  logLevel: 'Warn',
});
const project = await app.convert();
if (!project) process.exit(1);
for (const module of project.children) {
  const [name] = entries.find(([, file]) => file.startsWith(join(root, module.name)));
  module.name = name;
}
app.validate(project);
if (app.logger.hasErrors() || app.logger.hasWarnings()) {
  console.error('docs: each exported symbol needs a docstring: shapes, units, errors and source where they apply');
  process.exit(1);
}
if (!process.argv.includes('--check')) {
  await app.generateDocs(project, output);
  console.log(`docs: wrote ${output}`);
}
