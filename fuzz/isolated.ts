import { readFileSync } from 'node:fs';
import { outcomeOf } from './fuzz.ts';
import { targetNamed } from './targets/index.ts';

// One file, in a process of its own: `node fuzz/isolated.ts TARGET FILE` prints its time in ms and the memory that it took at
// most, in bytes, after a warm-up on the sound files. Time is the thread's on a core, so that a busy machine counts for
// nothing; memory is the process's own high-water mark.

const [name, path] = process.argv.slice(2) as [string, string];
const target = await targetNamed(name);
const file = new Uint8Array(readFileSync(path));
for (let n = 0; n < 20; n++) for (const seed of target.seeds) await outcomeOf(target, seed);

const peak = (): number => process.resourceUsage().maxRSS * 1024;
const before = peak();
const started = process.threadCpuUsage();
const outcome = await outcomeOf(target, file);
const { user, system } = process.threadCpuUsage(started);
const ms = (user + system) / 1000;
console.log(JSON.stringify({ ...outcome, ms, bytes: Math.max(0, peak() - before - file.length) }));
