import { execFile, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/** The CLI as it is built. */
export const cli: string = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

/** How the embedded model goes on after "ROMEO:", always taking the likeliest token: its record says so. */
export const { ids: greedy, text: greedyText }: { readonly ids: number[]; readonly text: string } = JSON.parse(
  readFileSync(new URL('../../../packages/model-shakespeare/training/greedy.json', import.meta.url), 'utf8'),
);

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `mamba` to its end, with `input` as stdin. */
export function mamba(args: readonly string[], input: string = ''): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [cli, ...args], { maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
    child.stdin!.end(input);
  });
}

/** Runs `mamba … --json`, which must pass, and parses the one line on stdout. */
export async function json(args: readonly string[], input: string = ''): Promise<Record<string, unknown>> {
  const { stdout, stderr, code } = await mamba([...args, '--json'], input);
  expect(code, stderr).toBe(0);
  expect(stdout.trimEnd().split('\n').length).toBe(1);
  return JSON.parse(stdout);
}

/** Runs `mamba`, sends `signal` after `wait` and returns the exit code that a shell shows, and stdout. */
export async function interrupted(
  args: readonly string[],
  wait: (stdout: NodeJS.ReadableStream) => Promise<unknown>,
  signal: 'SIGINT' | 'SIGTERM' = 'SIGINT',
): Promise<{ code: number; stdout: string; stderr: string; ms: number }> {
  const child = spawn(process.execPath, [cli, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (chunk) => (output[name] += chunk));
  await wait(child.stdout);
  const started = performance.now();
  child.kill(signal);
  const code = await new Promise<number>((resolve) => child.once('exit', (value) => resolve(value ?? -1)));
  return { code, ...output, ms: performance.now() - started };
}
