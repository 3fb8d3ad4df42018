/**
 * Attacks the readers of untrusted files with mutants; see docs/trust/README.md.
 *
 *     node fuzz/run.ts [READER...] [--mutants 200000] [--seed 2026] [--workers 2] [--minutes M] [--out DIR] [--json] [--no-cuts]
 *     node fuzz/run.ts READER --index N      writes mutant N to DIR, for a closer look
 *
 * Prints figures (JSON with --json) to stdout, progress to stderr; exit code 1 where a promise was broken. Failing mutants
 * are written to DIR, made smaller where the failure is an error without a code.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { examineAll } from './alone.ts';
import { mutantOf, type Tally, type Target, verdict } from './fuzz.ts';
import { minimise } from './minimise.ts';
import { type Job, jobs, runPool } from './pool.ts';
import { targetNamed, targets } from './targets/index.ts';
import { cutsOf } from './truncate.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    mutants: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '2026' },
    workers: { type: 'string', default: '2' },
    minutes: { type: 'string', default: '60' },
    out: { type: 'string', default: 'fuzz/failures' },
    index: { type: 'string' },
    'no-cuts': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const [mutants, seed, workers] = [Number(values.mutants), Number(values.seed), Number(values.workers)];
const deadline = performance.now() + 60_000 * Number(values.minutes);
const names = positionals.length > 0 ? positionals : Object.keys(targets);

function write(name: string, index: number, file: Uint8Array): string {
  mkdirSync(values.out, { recursive: true });
  const path = join(values.out, `${name}-${seed}-${index}`);
  writeFileSync(path, file);
  return path;
}

if (values.index !== undefined) {
  const index = Number(values.index);
  for (const name of names) console.log(write(name, index, mutantOf(await targetNamed(name), seed, index).file));
  process.exit(0);
}

/** Every file of fixtures/ that is the reader's, cut before the last byte that it declares. */
function truncationJobs({ fixture, declaredLength }: Target): { files: number; all: Job[] } {
  const root = fileURLToPath(new URL('../fixtures', import.meta.url));
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => fixture.test(basename(path)));
  const paths = names.sort().map((path) => join(root, path));
  return { files: paths.length, all: paths.flatMap((path) => jobs(cutsOf(declaredLength(readFileSync(path))), path)) };
}

async function attack(name: string): Promise<object> {
  const target = await targetNamed(name);
  const started = performance.now();
  let told = started;
  const tell =
    (what: string, total: number) =>
    ({ mutants: done, failures }: Tally): void => {
      if (performance.now() - told < 2000) return;
      told = performance.now();
      process.stderr.write(`${name}: ${done} of ${total} ${what}, ${failures.length} failures\n`);
    };
  const limitMs = (): number => deadline - performance.now();
  const pool = { seed, workers };
  const tally = await runPool(name, jobs(mutants), {
    ...pool,
    limitMs: limitMs(),
    onProgress: tell('mutants', mutants),
  });
  // A thread that got no turn for 20 s looks like one that hangs: alone it is seen which.
  tally.suspects.push(...tally.failures.flatMap(({ kind, index }) => (kind === 'hang' ? [index] : [])));
  tally.failures = tally.failures.filter(({ kind }) => kind !== 'hang');
  tally.failures.push(...examineAll(target, seed, tally.suspects));
  const { files, all } = values['no-cuts'] ? { files: 0, all: [] } : truncationJobs(target);
  const lengths = all.reduce((sum, { from, to }) => sum + to - from, 0);
  const cuts = await runPool(name, all, { ...pool, limitMs: limitMs(), onProgress: tell('truncations', lengths) });

  const problems = verdict(target, tally);
  for (const { index, kind, message } of cuts.failures) problems.push(`cut after ${index} bytes: ${kind}: ${message}`);
  if (tally.mutants < mutants) problems.push(`only ${tally.mutants} of ${mutants} mutants in the time that was given`);
  if (cuts.mutants < lengths)
    problems.push(`only ${cuts.mutants} of ${lengths} truncations in the time that was given`);
  const written: string[] = [];
  for (const failure of tally.failures.slice(0, 20)) {
    const { file } = mutantOf(target, seed, failure.index);
    written.push(write(name, failure.index, failure.kind === 'untyped' ? await minimise(target, file) : file));
  }
  const { accepted = 0, ...refused } = tally.codes;
  return {
    reader: target.name,
    mutants: tally.mutants,
    accepted,
    refused: Object.fromEntries(Object.entries(refused).sort()),
    structureChanging: Number((tally.structural / tally.mutants).toFixed(4)),
    slowestMs: Number(tally.slowest.ms.toFixed(1)),
    slowestMutant: tally.slowest.index,
    mostBytesBeyondFile: tally.greediest.bytes,
    greediestMutant: tally.greediest.index,
    rerunAlone: tally.suspects.length,
    truncations: cuts.mutants,
    truncatedFiles: files,
    failures: tally.failures.length + cuts.failures.length,
    problems,
    written,
    seconds: Number(((performance.now() - started) / 1000).toFixed(1)),
  };
}

const reports: { problems: string[] }[] = [];
for (const name of names) reports.push((await attack(name)) as { problems: string[] });
const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
const result = { seed, workers, node: process.version, peakProcessMiB: peakMiB, readers: reports };
if (values.json) console.log(JSON.stringify(result));
else console.log(JSON.stringify(result, null, 2));
if (reports.some(({ problems }) => problems.length > 0)) process.exitCode = 1;
