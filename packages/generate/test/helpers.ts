import { isMambaError, type MambaError } from '@mamba-ts/tensor';

/** The typed error that `run` ends with; anything else fails the test. */
export async function errorOf(run: () => unknown): Promise<MambaError> {
  try {
    await run();
  } catch (error) {
    if (isMambaError(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** A generator of numbers in [0, 1) for tests: mulberry32. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Logits of which many are equal, some forbidden, at least one allowed. */
export function roughLogits(random: () => number, size: number): Float32Array {
  const logits = Float32Array.from({ length: size }, () =>
    random() < 0.1 ? Number.NEGATIVE_INFINITY : Math.round((random() * 8 - 4) * 4) / 4,
  );
  logits[Math.floor(random() * size)] = 1;
  return logits;
}
