/** Used unless told otherwise: lively, and rarely off the rails. */
export const DEFAULT_TEMPERATURE = 0.8;

/** Chosen once per generation or session where the caller names no seed, and reported. */
export const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0]!;
