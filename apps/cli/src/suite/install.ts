import { spawn } from 'node:child_process';
import { access, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { MambaError } from '@mamba-ts/tensor';
import { note } from '../progress.ts';

/** Where peers lie: nothing of ours needs them, and node-llama-cpp alone is 725 MB. */
const folder = (): string => join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'mamba-ts', 'peers');

/**
 * The folder in whose node_modules these exact versions are, installed by npm where they are missing; no install script is
 * run. Throws `PEER_INSTALL`, and the signal's reason.
 */
export async function installed(packages: Readonly<Record<string, string>>, signal: AbortSignal): Promise<string> {
  const named = Object.entries(packages).map(([name, version]) => `${name}@${version}`);
  const place = join(folder(), named.join('+').replaceAll('/', '-').replaceAll('@', ''));
  try {
    await access(join(place, 'package.json'));
    return place;
  } catch {
    // Not there yet.
  }
  note(`installing ${named.join(' and ')} into ${place}`);
  // What an interrupted installation leaves never counts as one.
  const half = `${place}.${process.pid}.part`;
  try {
    await mkdir(half, { recursive: true });
    await writeFile(join(half, 'package.json'), '{ "private": true }\n');
    await npm(['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', ...named], half, signal);
    await rename(half, place).catch(async (error) => {
      // Another process was faster.
      await access(join(place, 'package.json')).catch(() => Promise.reject(error));
    });
  } finally {
    await rm(half, { recursive: true, force: true });
  }
  return place;
}

function npm(args: readonly string[], cwd: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const shell = process.platform === 'win32';
    const child = spawn('npm', args, { cwd, signal, shell, stdio: ['ignore', 2, 2] });
    const fail = (why: string): void =>
      reject(
        signal.aborted
          ? signal.reason
          : new MambaError(
              'PEER_INSTALL',
              `npm ${args.join(' ')} failed (${why}): peers are measured only where npm can get them`,
            ),
      );
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => (code === 0 ? resolve() : fail(`exit code ${code}`)));
  });
}
