/**
 * How long until the command line says the first word? Starts `mamba run` on the embedded model again and again and takes the
 * time to the first byte on stdout. Wanted: a median of at most 350 ms. Build it before (`pnpm build`).
 *
 *     node benchmarks/first-token.ts [STARTS]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { report } from './measure.ts';

const [starts = 20] = process.argv.slice(2).map(Number);
const cli = fileURLToPath(new URL('../apps/cli/dist/cli.js', import.meta.url));

async function firstByte(): Promise<number> {
  const started = performance.now();
  const child = spawn(process.execPath, [cli, 'run', 'ROMEO:', '--max-tokens', '20'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  const ms = performance.now() - started;
  child.stdout.resume();
  const [code] = await ended;
  if (code !== 0) throw new Error(`mamba run ended with ${code}`);
  return ms;
}

await firstByte(); // files come into the page cache
const times: number[] = [];
for (let i = 0; i < starts; i++) times.push(await firstByte());
report(`mamba run, ${starts} starts`, 'ms', { 'to the first word': times });
