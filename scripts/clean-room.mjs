/**
 * `pnpm clean-room`: the packages as a stranger gets them. Packs what would be published, installs the tarballs in empty
 * projects outside of this checkout, and uses them there: every README's snippet on three Nodes, the program, pages of
 * two bundlers, packages taken alone. Records in .ci/clean-room.json what passed.
 *
 *   --check   runs only where FULL=1 or something differs from what passed last, and records nothing
 *   --keep    leaves the folder for a look
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundleWithEsbuild, bundleWithVite, loadInBrowser } from './clean-room/page.mjs';
import { step, withFolder } from './clean-room/shell.mjs';
import { createProject, fetchNodes } from './clean-room/strangers.mjs';
import { inspect, lint, packAll, publishable } from './clean-room/tarballs.mjs';
import { callProgram, checkTypes, runSnippets, writeSnippets } from './clean-room/use.mjs';
import { checkAlone, checkTarball } from './clean-room/weight.mjs';
import { ensureInstalled, root } from './setup.mjs';
import { ensureTools } from './tools.mjs';

const record = join(root, '.ci/clean-room.json');
const CLI = '@mamba-ts/cli';

/** One hash over everything that the outcome depends on. */
function inputsHash() {
  const paths = [
    'packages',
    'apps/cli',
    'README.md',
    'scripts/clean-room',
    'scripts/readmes.mjs',
    'tools/pnpm-lock.yaml',
  ];
  const { stdout } = spawnSync('git', ['ls-files', '-coz', '--exclude-standard', ...paths], {
    cwd: root,
    encoding: 'utf8',
  });
  const hash = createHash('sha256');
  for (const file of stdout.split('\0').sort()) {
    if (file === '' || /\/test\/|\.test\.ts$/.test(file) || !existsSync(join(root, file))) continue;
    hash
      .update(file)
      .update('\0')
      .update(
        createHash('sha256')
          .update(readFileSync(join(root, file)))
          .digest(),
      );
  }
  return hash.digest('hex');
}

async function cleanRoom(folder) {
  const packages = await step('build and pack', () => packAll(publishable(), folder));
  const names = packages.map(({ name }) => name);

  for (const one of packages) {
    await step(`the tarball of ${one.name}`, async () => {
      const { wasm } = await inspect(one, folder);
      await lint(one, folder);
      return `${checkTarball(one)}${wasm > 0 ? `, ${wasm} .wasm` : ''}`;
    });
  }

  const nodes = await step('fetch Node 22 and 24', () => fetchNodes(folder));
  const project = join(folder, 'everything');
  await step('install all tarballs with npm', async () => {
    await createProject(project, names, packages);
    return `${names.length} packages`;
  });
  const snippets = writeSnippets(project);
  for (const [version, node] of Object.entries(nodes)) {
    await step(`README snippets on Node ${version}`, async () => {
      await runSnippets(project, snippets, node);
      return `${snippets.length} snippets`;
    });
  }
  await step('types in a stranger’s project', () => checkTypes(project, packages));

  await step('the program mamba, installed alone', async () => {
    const alone = join(folder, 'program');
    await createProject(alone, [CLI], packages);
    await callProgram(alone, packages.find(({ name }) => name === CLI).version);
  });

  await checkAlone(folder, packages, Object.values(nodes));

  const sites = [
    await step(
      'bundle a page with Vite',
      () => bundleWithVite(project),
      () => '',
    ),
    await step(
      'bundle a page with esbuild',
      () => bundleWithEsbuild(project),
      () => '',
    ),
  ];
  await step('load both pages in Chromium', () => loadInBrowser(sites));
}

const check = process.argv.includes('--check');
const inputs = inputsHash();
const passed = existsSync(record) ? JSON.parse(readFileSync(record, 'utf8')).inputs : undefined;
if (check && process.env.FULL !== '1' && inputs === passed) {
  console.log('clean room: nothing differs from what passed last');
  process.exit(0);
}
try {
  ensureInstalled();
  ensureTools();
  await withFolder(cleanRoom, { keep: process.argv.includes('--keep') });
  console.log('clean room: all steps passed');
} catch (error) {
  console.error(`clean room: ${error.message}\n\nRun \`pnpm clean-room --keep\` to look into the folder.`);
  process.exit(1);
}
if (!check) writeFileSync(record, `${JSON.stringify({ inputs }, null, 2)}\n`);
