/** `pnpm web [-- VITE OPTIONS]`: builds the page and serves it, as any host would. `pnpm --filter web dev` is for work on it. */
import { join } from 'node:path';
import { ensureInstalled, root, runNode } from './setup.mjs';

ensureInstalled();
const vite = join(root, 'apps/web/node_modules/vite/bin/vite.js');
const cwd = join(root, 'apps/web');
process.exitCode =
  (await runNode([vite, 'build', '--logLevel', 'warn'], { cwd, stdin: 'ignore' })) ||
  (await runNode([vite, 'preview', ...process.argv.slice(2).filter((argument) => argument !== '--')], { cwd }));
