/** `npm start [-- "PROMPT" [OPTIONS]]`: installs and builds what is missing, then writes text with the embedded model. */
import { cliPath, ensureBuilt, ensureInstalled, runNode } from './setup.mjs';

ensureInstalled();
ensureBuilt();
// No stdin: under CI it may be a pipe that never ends, and the CLI takes a prompt from it.
process.exitCode = await runNode([cliPath, 'run', ...process.argv.slice(2)], { stdin: 'ignore' });
