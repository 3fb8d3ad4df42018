/**
 * A counter-based generator: number `i` of stream `(seed, stream)` is a hash of the three, so that any single case can
 * be made again without those before it. The hash is the 32-bit finaliser of MurmurHash3 (Austin Appleby, public
 * domain), applied twice.
 */
export class Random {
  private readonly key: number;
  private counter = 0;

  constructor(seed: number, stream: number) {
    this.key = mix(mix(seed | 0) ^ Math.imul(stream | 0, 0x9e3779b1));
  }

  /** Uniform in [0, 1). */
  unit(): number {
    this.counter++;
    return (mix(this.key ^ mix(Math.imul(this.counter, 0x85ebca77))) >>> 0) / 2 ** 32;
  }

  /** A whole number, both ends included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1));
  }

  /** A number in [low, high). */
  uniform(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** True with a probability in 0 to 1. */
  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** One of the choices, each as likely; there must be one. */
  pick<T>(choices: readonly T[]): T {
    return choices[this.integer(0, choices.length - 1)]!;
  }

  /** f32 values, uniform in [low, high). */
  floats(length: number, low = -2, high = 2): Float32Array {
    const out = new Float32Array(length);
    for (let i = 0; i < length; i++) out[i] = this.uniform(low, high);
    return out;
  }
}

function mix(bits: number): number {
  let h = bits;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
