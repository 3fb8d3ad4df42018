/**
 * Mutation testing: Stryker changes the sources of a package in small ways, one at a time, and the package's tests
 * must notice. `pnpm mutation [PACKAGE [FILE…]]`, files relative to the package's src/; without arguments loaders and
 * generate, about half an hour each on one core. Prints a table for docs/trust/mutation.md; the survivors are in the
 * log above it. Exit code 1 where a package scores below 80 %. Not part of `npm test`.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { ensureInstalled, pinnedEnvironment, pinnedNode, root } from '../setup.mjs';

const REQUIRED = 80;

ensureInstalled();
// It takes long and hurries nobody.
os.setPriority(os.constants.priority.PRIORITY_LOW);
const [only, ...files] = process.argv.slice(2);
const tables = [];
for (const name of only ? [only] : ['loaders', 'generate']) {
  const env = { ...pinnedEnvironment(), MUTATE_PACKAGE: name, NO_COLOR: '1' };
  if (files.length > 0) env.MUTATE_FILES = files.join(',');
  const stryker = join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js');
  const { status } = spawnSync(pinnedNode, [stryker, 'run', 'scripts/mutation/stryker.config.mjs'], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
  tables.push(table(name, JSON.parse(readFileSync(join(root, `.stamps/mutation/${name}.json`), 'utf8'))));
}
process.stdout.write(`\n${tables.join('\n')}`);

/** One line per file and one for all, in Markdown. */
function table(name, report) {
  const rows = Object.entries(report.files)
    .map(([path, { mutants }]) => [path.replace(`packages/${name}/src/`, ''), count(mutants)])
    .sort(([a], [b]) => a.localeCompare(b));
  const all = count(Object.values(report.files).flatMap(({ mutants }) => mutants));
  if (all.score < REQUIRED) process.exitCode = 1;
  const line = (label, { found, late, survived, unreached, score }) =>
    `| ${label} | ${score.toFixed(1)} % | ${found} | ${late} | ${survived} | ${unreached} |\n`;
  return (
    `| ${name} | score | failing test | endless | survived | not reached |\n|---|---|---|---|---|---|\n` +
    `${rows.map(([path, counts]) => line(path, counts)).join('')}${line('**all**', all)}`
  );
}

function count(mutants) {
  const having = (status) => mutants.filter((mutant) => mutant.status === status).length;
  const [found, late, survived, unreached] = ['Killed', 'Timeout', 'Survived', 'NoCoverage'].map(having);
  return { found, late, survived, unreached, score: (100 * (found + late)) / (found + late + survived + unreached) };
}
