/** `pnpm --silent mamba …`: the CLI in this checkout, in the folder from which pnpm was called. */
import { cliPath, ensureBuilt, ensureInstalled, runNode } from './setup.mjs';

ensureInstalled();
ensureBuilt();
// Package managers run scripts in the root and name the caller's folder in INIT_CWD. A script that runs this file
// itself passes on an INIT_CWD that was meant for another.
const called = process.env.npm_lifecycle_event === 'mamba' ? process.env.INIT_CWD : undefined;
process.exitCode = await runNode([cliPath, ...process.argv.slice(2)], { cwd: called ?? process.cwd() });
