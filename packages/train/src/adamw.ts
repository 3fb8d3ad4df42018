import type { ParameterSpec } from '@mamba-ts/tensor';

/** What AdamW is told. The defaults are those of published trainings of Mamba. */
export interface AdamWOptions {
  /** Of the first and the second moment. */
  readonly betas?: readonly [first: number, second: number];
  readonly eps?: number;
  /** Share of the learning rate by which the weights that decay shrink in each step. */
  readonly weightDecay?: number;
}

/** What a step remembers of one parameter. */
export interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
}

/** Whether a parameter decays: matrices and convolution taps do; A_log, D, norms and every bias do not. */
export function decays({ name, shape }: ParameterSpec): boolean {
  return shape.length >= 2 && !/(?:A_log|\bD|bias|norm\w*\.weight)$/.test(name);
}

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2, as torch.optim.AdamW computes it): with t steps done before, g the gradient,
 *
 *     p = p (1 - rate weightDecay)                       for parameters that decay
 *     m = m + (g - m) (1 - b1);   v = b2 v + (1 - b2) g^2
 *     p = p - rate / (1 - b1^(t+1)) m / (sqrt(v / (1 - b2^(t+1))) + eps)
 *
 * Moments and parameters are rounded to f32, all else is f64: one order of operations, so that the same gradients give the
 * same bits anywhere. `step` and `moments` are all the state there is: a checkpoint holds them.
 */
export class AdamW {
  /** Steps done. */
  step = 0;
  readonly moments: ReadonlyMap<string, Moments>;
  readonly #options: Required<AdamWOptions>;
  readonly #decaying: ReadonlySet<string>;

  constructor(parameters: Iterable<ParameterSpec>, options: AdamWOptions = {}) {
    this.#options = { betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.1, ...options };
    const moments = new Map<string, Moments>();
    const decaying = new Set<string>();
    for (const spec of parameters) {
      const length = spec.shape.reduce((product, axis) => product * axis, 1);
      moments.set(spec.name, { first: new Float32Array(length), second: new Float32Array(length) });
      if (decays(spec)) decaying.add(spec.name);
    }
    this.moments = moments;
    this.#decaying = decaying;
  }

  /** Changes `values` by `scale * gradient`. Call it once per parameter and step, then `step++`. */
  update(name: string, values: Float32Array, gradient: Float32Array, rate: number, scale = 1): void {
    const { first, second } = this.moments.get(name)!;
    const { eps, weightDecay } = this.#options;
    const [b1, b2] = this.#options.betas;
    const keep = this.#decaying.has(name) ? 1 - rate * weightDecay : 1;
    const size = rate / (1 - b1 ** (this.step + 1));
    const root = Math.sqrt(1 - b2 ** (this.step + 1));
    for (let i = 0; i < values.length; i++) {
      const g = gradient[i]! * scale;
      const m = first[i]! + (g - first[i]!) * (1 - b1);
      const v = b2 * second[i]! + (1 - b2) * g * g;
      first[i] = m;
      second[i] = v;
      values[i] = values[i]! * keep - (size * m) / (Math.sqrt(v) / root + eps);
    }
  }
}
