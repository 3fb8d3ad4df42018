import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Failure, MEMORY_LIMIT, mutantOf, SLOW_MS, type Target } from './fuzz.ts';

/** More than this many files over a limit beside others are a fault of their own, whatever they do alone. */
const MOST = 60;

/** Runs each suspect alone, the same file once. */
export function examineAll(target: Target, seed: number, suspects: readonly number[]): Failure[] {
  const files = new Map<string, { index: number; file: Uint8Array }>();
  for (const index of suspects) {
    const { file } = mutantOf(target, seed, index);
    files.set(createHash('sha256').update(file).digest('hex'), { index, file });
  }
  if (files.size > MOST) {
    const [{ index }] = files.values() as unknown as [{ index: number }];
    return [{ index, kind: 'slow', message: `${files.size} files were over the limits of time or memory` }];
  }
  return [...files.values()].flatMap(({ index, file }) => examine(target.name, index, file) ?? []);
}

/** Three runs, each in a process of its own; a failure if all three are too slow, or all three take too much memory. */
export function examine(name: string, index: number, file: Uint8Array, timeout = 20_000): Failure | null {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-fuzz-'));
  const path = join(folder, 'mutant');
  writeFileSync(path, file);
  const script = fileURLToPath(new URL('./isolated.ts', import.meta.url));
  try {
    const runs = [1, 2, 3].map((): { ms: number; bytes: number } => {
      const { stdout, status } = spawnSync(process.execPath, [script, name, path], { timeout, encoding: 'utf8' });
      return status === 0 ? JSON.parse(stdout) : { ms: Number.POSITIVE_INFINITY, bytes: 0 };
    });
    const ms = Math.min(...runs.map((run) => run.ms));
    const bytes = Math.min(...runs.map((run) => run.bytes));
    if (ms > SLOW_MS) return { index, kind: 'slow', message: `${ms.toFixed()} ms alone, at best of three` };
    if (bytes > MEMORY_LIMIT)
      return { index, kind: 'memory', message: `${bytes} bytes beyond the file, at best of three` };
    return null;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
