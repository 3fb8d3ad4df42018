/**
 * Do memory, workers and handles stay flat over many generations, and over many models loaded and disposed of? See
 * docs/trust/README.md.
 *
 *     node benchmarks/soak.ts [--generations 10000] [--loads 1000] [--worker-loads LOADS] [--threads 2] [--json]
 *                             [--leak heap|model]
 *
 * Each is done in this thread and in a worker, and the kernels have workers of their own besides. Prints figures (JSON with
 * --json), progress to stderr; exit code 1 where a quantity grew: see `LIMITS`. `--leak` keeps something on purpose, to show that it is seen.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { fromPretrained, type MambaModel } from 'mamba-ts';
import { floorOf, type Growth, growthOf } from './flat.ts';

/**
 * V8 lets the space of young objects grow to tens of MB and touches it bit by bit, which looks like a leak of resident
 * memory for the first ten thousand cycles. Kept small, what is left is what was taken for good. A flag of the process.
 */
const YOUNG = '--max-semi-space-size=1';
if (!process.execArgv.includes(YOUNG)) {
  const { status } = spawnSync(process.execPath, [...process.execArgv, YOUNG, ...process.argv.slice(1)], {
    stdio: 'inherit',
  });
  process.exit(status ?? 1);
}

const { values } = parseArgs({
  options: {
    generations: { type: 'string', default: '10000' },
    loads: { type: 'string', default: '1000' },
    'worker-loads': { type: 'string' },
    threads: { type: 'string', default: '2' },
    leak: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
});

/**
 * Growth over a whole soak that still counts as flat, and how it is told. Pages, handles and threads must not grow at all;
 * heaps breathe, and the allocator gives back to the system when it likes.
 */
const LIMITS = {
  heapBytes: 2 << 20,
  rssBytes: 32 << 20,
  wasmPages: 0,
  backendBytes: 0,
  handles: 0,
  threads: 0,
} as const;
type Quantity = keyof typeof LIMITS;

const SAMPLES = 60;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Every WebAssembly memory that an instance made in this thread exports, or that threads share, as long as it lives. */
const memories: WeakRef<WebAssembly.Memory>[] = [];
const original = WebAssembly.Instance;
WebAssembly.Instance = new Proxy(original, {
  construct(target, args: ConstructorParameters<typeof original>) {
    const instance = new target(...args);
    for (const value of Object.values(instance.exports)) {
      if (value instanceof WebAssembly.Memory) memories.push(new WeakRef(value));
    }
    return instance;
  },
});
WebAssembly.Memory = new Proxy(WebAssembly.Memory, {
  construct(target, args: ConstructorParameters<typeof WebAssembly.Memory>) {
    const memory = new target(...args);
    memories.push(new WeakRef(memory));
    return memory;
  },
});
const instantiate = WebAssembly.instantiate.bind(WebAssembly) as (...args: unknown[]) => Promise<unknown>;
WebAssembly.instantiate = (async (...args: unknown[]) => {
  const result = (await instantiate(...args)) as { instance?: WebAssembly.Instance; exports?: object };
  for (const value of Object.values((result.instance ?? result).exports ?? {})) {
    if (value instanceof WebAssembly.Memory) memories.push(new WeakRef(value));
  }
  return result;
}) as typeof WebAssembly.instantiate;

const wasmPages = (): number =>
  memories.reduce((sum, memory) => sum + (memory.deref()?.buffer.byteLength ?? 0) / 65_536, 0);

function systemThreads(): number {
  try {
    return readdirSync('/proc/self/task').length;
  } catch {
    return 0; // not Linux: workers then show among the handles
  }
}

/** Readings alike that end a wait, and the most that are taken. */
const [ALIKE, READINGS] = [3, 40];

/**
 * Collects until nothing goes any more: finalizers let go at a turn of the loop, and a thread that was told to end keeps its
 * memory until it has.
 */
async function settle(): Promise<void> {
  let alike = 0;
  let last = '';
  for (let reading = 0; reading < READINGS && alike < ALIKE; reading++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const now = `${wasmPages()} ${systemThreads()}`;
    alike = now === last ? alike + 1 : 1;
    last = now;
  }
}

async function sample(model: MambaModel | null): Promise<Record<Quantity, number>> {
  await settle();
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  return {
    heapBytes: heapUsed + arrayBuffers,
    rssBytes: rss,
    wasmPages: wasmPages(),
    backendBytes: model ? (await model.memory()).total : 0,
    handles: process.getActiveResourcesInfo().filter((kind) => kind !== 'Timeout').length,
    threads: systemThreads(),
  };
}

const kept: unknown[] = [];
const threads = Number(values.threads);

interface Soak {
  readonly name: string;
  readonly cycles: number;
  readonly seconds: number;
  readonly growth: Readonly<Record<Quantity, Growth>>;
  /** A line per quantity that grew. */
  readonly grew: readonly string[];
}

async function soak(
  name: string,
  cycles: number,
  model: MambaModel | null,
  cycle: (index: number) => Promise<void>,
): Promise<Soak> {
  const started = performance.now();
  const every = Math.max(1, Math.floor(cycles / SAMPLES));
  const samples: Record<Quantity, number>[] = [];
  let told = started;
  for (let i = 0; i < cycles; i++) {
    await cycle(i);
    if (values.leak === 'heap') kept.push(new Array(2048).fill(i));
    if (i % every === every - 1) samples.push(await sample(model));
    if (performance.now() - told > 2000) {
      told = performance.now();
      process.stderr.write(`${name}: ${i + 1} of ${cycles}\n`);
    }
  }
  const growth = Object.fromEntries(
    Object.entries(LIMITS).map(([quantity, limit]) => [
      quantity,
      (limit === 0 ? floorOf : growthOf)(
        samples.map((each) => each[quantity as Quantity]),
        limit,
      ),
    ]),
  ) as Record<Quantity, Growth>;
  const grew = Object.entries(growth).flatMap(([quantity, { flat, growth: by, limit }]) =>
    flat ? [] : [`${name}: ${quantity} grew by ${by.toFixed(1)} over ${cycles} cycles; at most ${limit} is flat`],
  );
  return { name, cycles, seconds: Number(((performance.now() - started) / 1000).toFixed(1)), growth, grew };
}

/** A small model with a tokenizer, so that thousands of cycles take seconds: what leaks does not depend on its size. */
const folder = mkdtempSync(join(tmpdir(), 'mamba-soak-'));
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
for (const file of ['config.json', 'model.safetensors']) {
  cpSync(join(fixtures, 'mamba/plain', file), join(folder, file));
}
cpSync(join(fixtures, 'tokenizer/gpt2/tokenizer.json'), join(folder, 'tokenizer.json'));

const soaks: Soak[] = [];
try {
  for (const worker of [false, true]) {
    const where = worker ? 'in a worker' : 'in this thread';
    const generations = Number(values.generations);
    if (generations > 0) {
      const model = await fromPretrained(folder, { worker, threads });
      const generate = async (seed: number): Promise<void> => {
        await model.generate([1, 2, 3], { maxTokens: 4, seed });
      };
      soaks.push(await soak(`generations ${where}`, generations, model, generate));
      await model.dispose();
    }
    const loads = Number(worker ? (values['worker-loads'] ?? values.loads) : values.loads);
    const load = async (seed: number): Promise<void> => {
      const model = await fromPretrained(folder, { worker, threads });
      await model.generate([1, 2, 3], { maxTokens: 2, seed });
      if (values.leak === 'model') kept.push(model);
      else await model.dispose();
    };
    if (loads > 0) soaks.push(await soak(`loads and disposals ${where}`, loads, null, load));
  }
} finally {
  rmSync(folder, { recursive: true });
}
const grew = soaks.flatMap((each) => each.grew);
const result = { node: process.version, flat: grew.length === 0, grew, soaks };
console.log(values.json ? JSON.stringify(result) : JSON.stringify(result, null, 2));
// A leaked worker would keep the process alive.
process.exit(grew.length > 0 ? 1 : 0);
