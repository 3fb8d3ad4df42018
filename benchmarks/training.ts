/**
 * How fast is a training step beside PyTorch's, and in how much memory? Mamba-1 of 2.9 million parameters, batch 8 x 256,
 * f32: ours on one thread and on two, PyTorch with its scan fused in C++ and with a sequential one (its script:
 * ../shared/reference/train_reference.py; a C++ compiler is needed). They take turns, each in a process of its own, so that
 * whatever else the machine does meets them alike. PyTorch is installed into a cache folder unless PYTHON names an
 * interpreter that has it, tokenizers and ninja.
 *
 *     node benchmarks/training.ts [--rounds 3] [--against none|fused|all] [--json]
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createWasmBackend, measureLimits } from '@mamba-ts/kernels';
import { pythonWithTorch } from './python.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    against: { type: 'string', default: 'all' },
    json: { type: 'boolean', default: false },
  },
});

/** What one process says of its steps: seconds of each, and its peak. */
interface Run {
  readonly step_s: readonly number[];
  readonly peak_mb: number;
}
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

function ours(threads: number): Run {
  const args = [path('train-threads.ts'), String(threads), '--json'];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
}

const folder = mkdtempSync(join(tmpdir(), 'mamba-training-'));
const shared = path('../../shared');
const python = options.against === 'none' ? '' : pythonWithTorch(['tokenizers', 'ninja', 'setuptools']);
function torch(scan: 'fused' | 'sequential'): Run {
  const args = [join(shared, 'reference/train_reference.py'), join(shared, 'data/tinyshakespeare.txt'), folder];
  const out = execFileSync(python, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {
      ...process.env,
      BENCH: '1',
      SCAN: scan,
      PATH: `${dirname(python)}:${process.env.PATH}`, // ninja
      // As the script asks: else its two OpenMP runtimes spin, and pages are returned at each step.
      OMP_WAIT_POLICY: 'PASSIVE',
      GOMP_SPINCOUNT: '0',
      MALLOC_MMAP_THRESHOLD_: '4000000000',
      MALLOC_TRIM_THRESHOLD_: '8000000000',
      MALLOC_TOP_PAD_: '500000000',
    },
  });
  const { step_s, peak_mb } = JSON.parse(out.trim().split('\n').at(-1)!);
  return { step_s: [step_s.median, step_s.min], peak_mb };
}

const rivals: Record<string, () => Run> = { 'ours, 1 thread': () => ours(1), 'ours, 2 threads': () => ours(2) };
if (options.against !== 'none') rivals['PyTorch, fused scan'] = () => torch('fused');
if (options.against === 'all') rivals['PyTorch, sequential scan'] = () => torch('sequential');

const runs = new Map<string, Run[]>(Object.keys(rivals).map((name) => [name, []]));
for (let round = 0; round < Number(options.rounds); round++) {
  for (const [name, run] of Object.entries(rivals)) {
    const result = run();
    runs.get(name)!.push(result);
    console.error(`${name}: ${Math.min(...result.step_s).toFixed(3)} s at best, ${result.peak_mb.toFixed(0)} MB`);
  }
}
rmSync(folder, { recursive: true });

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const rows = [...runs].map(([name, all]) => ({
  name,
  // Of each process its median, and of these the median.
  median_s: median(all.map(({ step_s }) => median(step_s))),
  min_s: Math.min(...all.flatMap(({ step_s }) => step_s)),
  peak_mb: Math.max(...all.map(({ peak_mb }) => peak_mb)),
}));

/** Multiply-adds of a step: each weight once forward and twice backward per token, and the head's logits once more. */
const layer = 256 * 1024 + 512 * 48 + 16 * 512 + 512 * 256;
const multiplyAdds = 8 * 256 * (3 * 6 * layer + 4 * 256 * 1024);
const { f32GflopS } = await measureLimits();
const bound = {
  multiply_adds: multiplyAdds,
  /** Of one thread, four lanes; joined ones do up to twice as many. */
  limit_gflop_s: f32GflopS,
  products_at_limit_s: {
    'four lanes, 2 threads': multiplyAdds / f32GflopS / 1e9,
    'eight lanes, 2 threads': multiplyAdds / f32GflopS / 2e9,
  },
};
const of = (name: string) => rows.find((row) => row.name === name);
const [two, fused, sequential] = [of('ours, 2 threads')!, of('PyTorch, fused scan'), of('PyTorch, sequential scan')];
const ratio = (rival: (typeof rows)[number] | undefined) =>
  rival && {
    medians: rival.median_s / two.median_s,
    minima: rival.min_s / two.min_s,
    memory: two.peak_mb / rival.peak_mb,
  };
const result = {
  cpu: cpus()[0]?.model,
  node: process.version,
  backend: (await createWasmBackend()).name,
  rows,
  speed_against: { fused: ratio(fused), sequential: ratio(sequential) },
  bound,
};
if (options.json) console.log(JSON.stringify(result));
else {
  for (const { name, median_s, min_s, peak_mb } of rows) {
    console.log(`${name.padEnd(26)} ${median_s.toFixed(3)} s (at best ${min_s.toFixed(3)})  ${peak_mb.toFixed(0)} MB`);
  }
  console.log(JSON.stringify({ speed_against: result.speed_against, bound }, null, 2));
}
