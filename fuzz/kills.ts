/**
 * Kills a download (SIGKILL) at random points, until it has been killed so many times; see docs/trust/README.md.
 *
 *     node fuzz/kills.ts [--kills 200] [--seed 2026] [--megabytes 8] [--json]
 *
 * A hub on loopback sends a GGUF file of random bytes to `pullModel` in a process of its own, with four connections and
 * ranges of 1 MiB. A killed process is followed by another on the same cache, and a finished one by one on a fresh cache.
 * Checked after each: what has the file's name has its hash, and a link points to it; a kill costs at most one range for
 * each connection, counted by what the hub sent; nobody waits for the dead. Figures on stdout, progress on stderr; exit
 * code 1 where a promise was broken.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pullModel } from '../packages/loaders/src/node.ts';
import { sha256, startHub } from '../packages/loaders/test/hub-server.ts';
import { Random } from './random.ts';

const CONNECTIONS = 4;
const RANGE = 1 << 20;
/** A process that needs longer waits for somebody who is dead. */
const LIMIT_MS = 60_000;

if (process.argv[2] === 'child') {
  const [, , , endpoint, cache] = process.argv;
  let told = false;
  await pullModel('kill/me', {
    endpoint,
    cache,
    connections: CONNECTIONS,
    chunkBytes: RANGE,
    onProgress({ phase, done }) {
      if (told || phase !== 'download') return;
      told = true;
      // What an earlier process left.
      process.stdout.write(`${done}\n`);
    },
  });
} else process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '200' },
      seed: { type: 'string', default: '2026' },
      megabytes: { type: 'string', default: '8' },
      json: { type: 'boolean', default: false },
    },
  });
  const kills = Number(values.kills);
  const random = new Random(Number(values.seed), 0);
  const started = performance.now();
  // Not a whole number of ranges.
  const file = Uint8Array.from({ length: Number(values.megabytes) * RANGE + 12_345 }, () => random.below(256));
  const hash = sha256(file);
  const hub = await startHub({ 'kill/me': { 'me-F16.gguf': file } });
  const problems: string[] = [];
  const say = (problem: string): void => void problems.push(`after ${report.kills} kills: ${problem}`);
  const report = {
    kills: 0,
    downloads: 0,
    killedWith: { nothing: 0, part: 0, whole: 0 },
    bytesTwice: 0,
    mostTwicePerKill: 0,
    limitPerKill: CONNECTIONS * RANGE,
  };

  while (report.kills < kills || report.downloads === 0) {
    const cache = mkdtempSync(join(tmpdir(), 'mamba-kills-'));
    const blobs = join(cache, 'models--kill--me', 'blobs');
    const link = join(cache, 'models--kill--me', 'snapshots', hub.commit('kill/me'), 'me-F16.gguf');
    const sentBefore = hub.sent.bytes;
    let twice = 0;
    for (let finished = false; !finished; ) {
      const killing = report.kills < kills;
      const before = hub.sent.bytes;
      const left = Math.max(0, file.length - (before - sentBefore - twice));
      // Most kills fall into the transfer; some into checking, renaming and linking after it, some before it.
      const late = random.chance(0.2);
      const share = late ? left : 1 + random.below(Math.ceil(left / (1 + random.below(6))));
      const at = { bytes: before + share, ms: random.below(late ? 300 : 4) };
      hub.fault = ({ host }) => (host === 'store' ? { slowMs: 1 } : undefined);
      const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'child', hub.endpoint, cache], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let fatal: NodeJS.Timeout | undefined;
      const kill = (ms: number): void => {
        if (killing) fatal ??= setTimeout(() => child.kill('SIGKILL'), ms);
      };
      hub.sent.onSend = () => {
        if (hub.sent.bytes >= at.bytes) kill(at.ms);
      };
      let output = '';
      child.stdout.on('data', (text) => {
        output += text;
        if (left === 0) kill(random.below(300));
      });
      const ended = new Promise<number | null>((done) => child.once('close', (code) => done(code)));
      const limit = setTimeout(() => {
        say('a process waited too long');
        child.kill('SIGKILL');
      }, LIMIT_MS);
      const code = await ended;
      clearTimeout(limit);
      clearTimeout(fatal);
      // What still goes out to the dead process belongs to its kill, not to the next.
      for (let wait = 0; hub.sent.open > 0 && wait < 2000; wait++) await new Promise((done) => setTimeout(done, 1));
      // What this process found tells what its forerunner's death has cost.
      const there = output === '' ? null : Number(output.split('\n')[0]);
      if (there !== null) {
        const now = before - sentBefore - there;
        report.mostTwicePerKill = Math.max(report.mostTwicePerKill, now - twice);
        if (now - twice > report.limitPerKill) say(`a kill cost ${now - twice} bytes`);
        twice = Math.max(twice, now);
      }
      const whole = existsSync(join(blobs, hash));
      if (whole && sha256(readFileSync(join(blobs, hash))) !== hash) say('the file has its name and another content');
      if (existsSync(link) && sha256(readFileSync(link)) !== hash) say('the link leads to another content');
      if (code === null) {
        report.kills++;
        report.killedWith[whole ? 'whole' : existsSync(blobs) && readdirSync(blobs).length > 0 ? 'part' : 'nothing']++;
      } else {
        finished = true;
        if (code !== 0) say(`a process failed with exit code ${code}`);
        if (!whole || !existsSync(link)) say('a process ended well without the file or its link');
        if (readdirSync(blobs).length !== 1) say(`left behind: ${readdirSync(blobs).join(', ')}`);
      }
      if (report.kills % 20 === 0 && code === null)
        process.stderr.write(`${report.kills} kills, ${report.downloads} downloads\n`);
      if (problems.length > 10) finished = true;
    }
    report.downloads++;
    report.bytesTwice += hub.sent.bytes - sentBefore - file.length;
    rmSync(cache, { recursive: true });
    if (problems.length > 10) break;
  }
  await hub.close();
  const result = {
    ...report,
    fileBytes: file.length,
    problems,
    seconds: Math.round((performance.now() - started) / 1000),
  };
  process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : `${JSON.stringify(result, null, 2)}\n`);
  return problems.length === 0 ? 0 : 1;
}
