/** `npm test [-- vitest arguments]`: every test, on the pinned Node and in Chromium. Its last line is `N passed, N failed`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureBrowser } from './browser.mjs';
import { ensureBuilt, ensureInstalled, root, runNode, say } from './setup.mjs';

ensureInstalled();
ensureBuilt();
const browser = await ensureBrowser();
if (browser) process.env.MAMBA_CHROMIUM = browser;

const folder = mkdtempSync(join(tmpdir(), 'mamba-test-'));
const report = join(folder, 'report.json');
let code = await runNode([
  join(root, 'node_modules/vitest/vitest.mjs'),
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
  ...process.argv.slice(2),
]);
const counts = count(code);
rmSync(folder, { recursive: true });
if (counts.failed > 0 && code === 0) code = 1;
const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
process.exitCode = code;
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed${skipped}\n`);

function count(code) {
  let results;
  try {
    results = JSON.parse(readFileSync(report, 'utf8')).testResults;
  } catch (error) {
    say(`vitest (exit code ${code}) left no report: ${error.message}`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const tests = results.flatMap((file) => file.assertionResults);
  const having = (status) => tests.filter((test) => test.status === status).length;
  const passed = having('passed');
  // A file that does not even load has no tests: it counts as one failure.
  const unloadable = results.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  let failed = having('failed') + unloadable;
  if (code !== 0 && failed === 0) {
    say(`vitest ended with exit code ${code} although no test failed: see above`);
    failed = 1;
  }
  return { passed, failed, skipped: tests.length - passed - having('failed') };
}
