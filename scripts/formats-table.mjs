/**
 * `pnpm formats`: writes docs/formats.md, the table of file formats and architectures, from the tests of
 * packages/layers/test/formats.test.ts that pass. `--check` writes nothing and fails where the table is not what they say.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pinnedEnvironment, root } from './setup.mjs';

const tests = 'packages/layers/test/formats.test.ts';
const output = join(root, 'docs/formats.md');

const scratch = mkdtempSync(join(tmpdir(), 'mamba-formats-'));
const report = join(scratch, 'report.json');
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const args = [vitest, 'run', '--project', 'node', '--reporter=json', `--outputFile=${report}`, tests];
const { status, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', env: pinnedEnvironment() });
if (status !== 0) throw new Error(`${tests} does not pass:\n${stderr}`);
const results = JSON.parse(readFileSync(report, 'utf8')).testResults.flatMap((file) => file.assertionResults);
rmSync(scratch, { recursive: true });

/** @type {Map<string, Map<string, string[]>>} format -> architecture -> variants, '' for the plain one */
const table = new Map();
const columns = new Set();
for (const { title, status: outcome } of results) {
  if (outcome !== 'passed') throw new Error(`"${title}" is ${outcome}: the table holds what passes`);
  const found = /^(.+?) × (\w+)(?: \((.+?)\))?: /.exec(title);
  if (!found) throw new Error(`the test "${title}" is not called FORMAT × ARCHITECTURE: …`);
  const [, format, architecture, variant = ''] = found;
  const row = table.get(format) ?? new Map();
  table.set(format, row);
  row.set(architecture, [...(row.get(architecture) ?? []), variant]);
  columns.add(architecture);
}

const cell = (variants) => (variants ? ['✓', ...variants.filter((variant) => variant !== '')].join(', ') : '');
const line = (cells) => `| ${cells.join(' | ')} |`;
const text = `# Formats and architectures

Made by \`pnpm formats\` from [the tests](../${tests}); do not edit. A mark stands for a test
that reads a model of that architecture from that format and compares its logits: those of f32 files with transformers' or
the published step function's, the others with those of the same values in f32.

${line(['format', ...[...columns].map((name) => `\`${name}\``)])}
${line(['---', ...[...columns].map(() => '---')])}
${[...table].map(([format, row]) => line([format, ...[...columns].map((name) => cell(row.get(name)))])).join('\n')}
`;

if (!process.argv.includes('--check')) writeFileSync(output, text);
else if (readFileSync(output, 'utf8') !== text) {
  console.error('docs/formats.md is stale: run pnpm formats');
  process.exitCode = 1;
}
