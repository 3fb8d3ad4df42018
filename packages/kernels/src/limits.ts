import { MambaError } from '@mamba-ts/tensor';
import type { Kernels } from './instance.ts';

/** What one thread of this machine can do in WebAssembly; medians. */
export interface Limits {
  /** Sequential reading of much more than caches hold, GB/s (1e9 bytes). */
  readonly readGbS: number;
  /** Multiply-adds of f32 in registers as the build does them, GFLOP/s; 2 operations each. */
  readonly f32GflopS: number;
  /** Dot products of integers in registers as the build does them (bytes with relaxed SIMD, else i16), GOP/s. */
  readonly dotGopS: number;
}

/** Read by all threads together, and by each at least. */
const [BYTES, LEAST_BYTES] = [512 << 20, 64 << 20];
const PASSES = 2;
const ROUNDS = 5_000_000;
/** Operations of a round: 12 accumulators, 4 lanes, a multiplication and an addition. */
const OPERATIONS = 12 * 4 * 2;
/** Of a round of dot products: 12 of 16 bytes, or of 8 i16. */
const DOT_OPERATIONS: Readonly<Record<number, number>> = { 0: 12 * 8 * 2, 1: 12 * 16 * 2 };
const RUNS = 5;

function median(measure: () => number): number {
  const values = Array.from({ length: RUNS }, measure).sort((a, b) => a - b);
  return values[RUNS >> 1]!;
}

/**
 * Measures the limits of a fresh instance, which is of no use afterwards, as one of `threads` that do so at once. About two
 * seconds. Throws `OUT_OF_MEMORY`.
 */
export async function measureLimits(kernels: Kernels, threads = 1): Promise<Limits> {
  const bytes = Math.max(LEAST_BYTES, Math.floor(BYTES / threads / 4096) * 4096);
  const address = kernels.allocate(bytes) >>> 0;
  if (address === 0) {
    const text = `measuring the read limit needs ${bytes >> 20} MiB for each of ${threads} threads: pass fewer threads`;
    throw new MambaError('OUT_OF_MEMORY', text, { bytes, threads });
  }
  new Uint8Array(kernels.memory.buffer, address, bytes).fill(1);
  const constants = new Float32Array(kernels.memory.buffer, address, 8);
  const seconds = (work: () => void): number => {
    const started = performance.now();
    work();
    return (performance.now() - started) / 1000;
  };
  const read = (): void => void kernels.limit_read(address, bytes, PASSES);
  const multiplyAdd = (): void => {
    constants.fill(1 - 1e-7, 0, 4);
    constants.fill(1e-7, 4, 8);
    kernels.limit_multiply_add(ROUNDS, address);
  };
  const dot = (): void => void kernels.limit_dot(ROUNDS, address);
  // The engine's optimising tier takes over during these.
  read();
  multiplyAdd();
  dot();
  await new Promise((resolve) => setTimeout(resolve, 200));
  multiplyAdd();
  dot();
  return {
    readGbS: median(() => (bytes * PASSES) / seconds(read) / 1e9),
    f32GflopS: median(() => (ROUNDS * OPERATIONS) / seconds(multiplyAdd) / 1e9),
    dotGopS: median(() => (ROUNDS * DOT_OPERATIONS[kernels.build()]!) / seconds(dot) / 1e9),
  };
}
