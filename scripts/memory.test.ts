import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../benchmarks/memory.ts', import.meta.url));

/** 120 MB in place of 2.5 GB, and a margin that a second copy of them would overrun. */
function memory(...options: string[]): { status: number | null; problems: string[] } {
  const args = [script, '--json', '--bytes', '120000000', '--margin', String(200 << 20), ...options];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (stdout === '') throw new Error(stderr);
  return { status, problems: (JSON.parse(stdout) as { problems: string[] }).problems };
}

// The whole of it: node benchmarks/memory.ts
test('a file of 120 MB is loaded with less than its size and 200 MiB, tells its progress, and is given up at once', () => {
  expect(memory()).toEqual({ status: 0, problems: [] });
}, 120_000);

test('a second copy of the file is seen', () => {
  const { status, problems } = memory('--greedy');
  expect(status).toBe(1);
  expect(problems.join()).toMatch(/^loading: \d+ bytes, above/);
}, 120_000);
