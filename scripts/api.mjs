/**
 * `pnpm api`: writes the public API of each package, as its emitted declarations give it, to docs/api/<package>.md.
 * `--check` writes nothing and fails where a report is not what the declarations say: an API changes on purpose or not
 * at all. By API Extractor, which reads the declarations with TypeScript 6.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { publishable } from './clean-room/tarballs.mjs';
import { ensureInstalled, pinnedEnvironment, pnpm, root } from './setup.mjs';
import { ensureTools, importTool } from './tools.mjs';

const reports = join(root, 'docs/api');
const fileOf = (folder) => join(reports, `${basename(folder)}.md`);

/** The declarations behind `exports`: [name to import, file] for each; Node's conditional entry is `./node` besides. */
function entriesOf({ name, folder, manifest }) {
  return Object.entries(manifest.publishConfig?.exports ?? manifest.exports ?? {}).flatMap(([path, target]) => {
    const types = target.types ?? target.default?.types;
    return types ? [[name + path.slice(1), join(folder, types)]] : [];
  });
}

function build(packages) {
  const filters = packages.map(({ name }) => `--filter=${name}`);
  const args = ['--yes', pnpm, 'exec', 'turbo', 'run', 'build', ...filters, '--output-logs=errors-only'];
  const options = { cwd: root, encoding: 'utf8', env: { ...pinnedEnvironment(), CI: 'true' } };
  const { status, stdout, stderr } = spawnSync('npx', args, options);
  if (status !== 0) throw new Error(`the build failed:\n${stdout}${stderr}`);
}

/** How to read one entry. */
function configOf({ ExtractorConfig }, folder, declarations, scratch) {
  return ExtractorConfig.prepare({
    configObject: {
      projectFolder: folder,
      mainEntryPointFilePath: declarations,
      compiler: {
        overrideTsconfig: {
          compilerOptions: {
            target: 'es2024',
            module: 'nodenext',
            moduleResolution: 'nodenext',
            lib: ['es2024', 'esnext.disposable', 'esnext.float16', 'dom', 'dom.iterable', 'dom.asynciterable'],
            types: ['node'],
            typeRoots: [join(root, 'node_modules/@types')],
            strict: true,
            skipLibCheck: true,
            // In the workspace, other packages are their sources.
            allowImportingTsExtensions: true,
            noEmit: true,
          },
          files: [declarations],
        },
      },
      apiReport: {
        enabled: true,
        reportFolder: scratch,
        reportTempFolder: join(scratch, 'temp'),
        reportFileName: 'report',
        // Types that an exported signature names are part of it.
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: 'error' } },
        extractorMessageReporting: { default: { logLevel: 'none' } },
        tsdocMessageReporting: { default: { logLevel: 'none' } },
      },
    },
    configObjectFullPath: join(folder, 'api-extractor.json'), // only what its errors name
    packageJsonFullPath: join(folder, 'package.json'),
  });
}

/** The body of one entry's report. `compilerState` is one program for all entries: the libraries are parsed once. */
function extract(config, compilerState, { Extractor }, scratch) {
  const errors = [];
  Extractor.invoke(config, {
    localBuild: true,
    compilerState,
    messageCallback(message) {
      message.handled = true;
      if (message.logLevel === 'error') errors.push(message.text);
    },
  });
  if (errors.length > 0) throw new Error(`${config.mainEntryPointFilePath}:\n${[...new Set(errors)].join('\n')}`);
  const report = readFileSync(join(scratch, 'report.api.md'), 'utf8').replaceAll('\r\n', '\n');
  return (
    /```ts\n([\s\S]*?)```/
      .exec(report)[1]
      .replace('// (No @packageDocumentation comment for this package)\n', '')
      // Docstrings are `pnpm docs`' business: writing one changes no API.
      .replace(/^ *\/\/ \(undocumented\)\n/gm, '')
      .replace(/^(\/\/ @\w+) \(undocumented\)$/gm, '$1')
      .replace(/ ?\/\*\*[\s\S]*?\*\//g, '')
      .trim()
  );
}

function makeReports(packages, extractor) {
  const scratch = mkdtempSync(join(tmpdir(), 'mamba-api-'));
  try {
    const described = packages
      .map((one) => ({
        ...one,
        entries: entriesOf(one).map(([entry, file]) => [entry, configOf(extractor, one.folder, file, scratch)]),
      }))
      .filter(({ entries }) => entries.length > 0);
    const configs = described.flatMap(({ entries }) => entries.map(([, config]) => config));
    const compilerState = extractor.CompilerState.create(configs[0], {
      additionalEntryPoints: configs.map(({ mainEntryPointFilePath }) => mainEntryPointFilePath),
    });
    return described.map(({ name, folder, entries }) => {
      const parts = entries.map(([entry, config]) => {
        const body = extract(config, compilerState, extractor, scratch);
        return `\n## \`${entry}\`\n\n\`\`\`ts\n${body}\n\`\`\`\n`;
      });
      const head = `# Public API of ${name}\n\nMade by \`pnpm api\`. Do not edit.\n`;
      return { file: fileOf(folder), text: head + parts.join('') };
    });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

try {
  ensureInstalled();
  ensureTools();
  const { default: extractor } = await importTool('@microsoft/api-extractor');
  const packages = publishable();
  build(packages);
  const made = makeReports(packages, extractor);
  const wanted = new Map(made.map(({ file, text }) => [file, text]));
  const present = existsSync(reports) ? readdirSync(reports).map((name) => join(reports, name)) : [];
  const orphans = present.filter((file) => !wanted.has(file));
  if (process.argv.includes('--check')) {
    const changed = made.filter(({ file, text }) => !existsSync(file) || readFileSync(file, 'utf8') !== text);
    for (const { file, text } of changed) {
      console.error(`api: ${file} differs from what the declarations say:`);
      spawnSync('git', ['diff', '--no-index', '--unified=1', file, '-'], {
        cwd: root,
        input: text,
        stdio: ['pipe', 2, 2],
      });
    }
    for (const file of orphans) console.error(`api: ${file} belongs to no package`);
    if (changed.length + orphans.length > 0) {
      console.error('api: if the change is meant, run `pnpm api`, commit docs/api, and write a changeset');
      process.exitCode = 1;
    } else console.log(`api: ${made.length} reports are what the declarations say`);
  } else {
    mkdirSync(reports, { recursive: true });
    for (const { file, text } of made) writeFileSync(file, text);
    for (const file of orphans) rmSync(file);
    console.log(`api: wrote ${made.length} reports to docs/api`);
  }
} catch (error) {
  console.error(`api: ${error.message}`);
  process.exit(1);
}
