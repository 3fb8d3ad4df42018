import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * An interpreter that has PyTorch and numpy in the versions that the fixtures were made with, and `more` packages: PYTHON
 * where it is set, else one that is installed into a cache folder.
 */
export function pythonWithTorch(more: readonly string[] = []): string {
  if (process.env.PYTHON) return process.env.PYTHON;
  const requirements = readFileSync(new URL('../fixtures/requirements.txt', import.meta.url), 'utf8');
  const pinned = requirements.split('\n').filter((line) => /^(?:torch|numpy)==/.test(line));
  const wanted = [...pinned, ...more];
  const place = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'mamba-ts', 'peers', wanted.join('+'));
  const python = join(place, 'bin/python');
  if (existsSync(join(place, 'complete'))) return python;
  console.error(`installing ${wanted.join(' and ')} into ${place} (some GB)`);
  rmSync(place, { recursive: true, force: true });
  const run = (command: string, ...args: string[]): unknown => execFileSync(command, args, { stdio: ['ignore', 2, 2] });
  run('python3', '-m', 'venv', place);
  run(python, '-m', 'pip', 'install', '--quiet', ...wanted);
  run(python, '-c', `import torch; open(${JSON.stringify(join(place, 'complete'))}, 'w')`);
  return python;
}
