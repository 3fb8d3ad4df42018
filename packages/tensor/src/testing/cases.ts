import type { Backend, OpName } from '../backend.ts';
import { columns, type Tensor } from '../tensor.ts';
import { matrix, type ParameterSpec, vector, type Weight } from '../weights.ts';
import { absolute } from './bounds.ts';
import type { Random } from './random.ts';
import { type PlainDType, uploadWeight } from './weights.ts';

/** What a case gives: named arrays, such as `y` and the state of each sequence. */
export type Outcome = Readonly<Record<string, ArrayLike<number>>>;

/** One call, or a few that belong together, with all its inputs. */
export interface OpCase {
  readonly op: OpName;
  /** Shapes and options, in words. */
  readonly label: string;
  /** Where it is not the op's own (`TOLERANCES`). */
  readonly tolerance?: number;
  /** Runs on any backend, frees what it made, and ends the step. */
  run(backend: Backend): Promise<Outcome>;
  /** Magnitudes for the tolerance, by the f64 reference `exact`; an outcome without one must agree to the bit. */
  bounds(exact: Backend): Promise<Outcome>;
}

/** What a case has loaded on one backend; gives everything back at the end. */
export class Scope {
  readonly backend: Backend;
  private readonly weights: Weight[] = [];

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** A parameter with these values, loaded in uneven pieces; freed by `close`. */
  weight(spec: ParameterSpec, values: Float32Array, dtype: PlainDType = 'f32'): Weight {
    return this.keep(uploadWeight(this.backend, spec, values, dtype, values.length > 4 ? 3 : 1));
  }

  /** A weight that is freed by `close`. */
  keep(weight: Weight): Weight {
    this.weights.push(weight);
    return weight;
  }

  /** A vector in f32; null for none. */
  vector(name: string, shape: readonly number[], values: Float32Array | null): Weight | null {
    return values === null ? null : this.weight(vector(name, shape), values);
  }

  /**
   * `values` `[rows, width]` as a view with `left` and `right` more columns beside it. They hold NaN, so that a kernel
   * that reads outside its view is found out.
   */
  view(values: Float32Array, rows: number, width: number, left = 0, right = 0): Tensor {
    const stride = left + width + right;
    const all = new Float32Array(rows * stride).fill(Number.NaN);
    for (let t = 0; t < rows; t++) all.set(values.subarray(t * width, (t + 1) * width), t * stride + left);
    return columns(this.backend.upload(all, [rows, stride]), left, width);
  }

  /** Row-major values; in full precision where the backend has more than f32. */
  read(x: Tensor): Promise<ArrayLike<number>> {
    const exact = (this.backend as { readExact?: (x: Tensor) => Promise<Float64Array> }).readExact;
    return exact ? exact(x) : this.backend.read(x);
  }

  /** Frees what was loaded, and ends the step. */
  close(): void {
    for (const w of this.weights) this.backend.freeWeight(w);
    this.backend.endStep();
  }
}

/** Runs `body` in a scope that is closed however it ends. */
export async function scoped<T>(backend: Backend, body: (scope: Scope) => Promise<T>): Promise<T> {
  const scope = new Scope(backend);
  try {
    return await body(scope);
  } finally {
    scope.close();
  }
}

/** Columns beside a view, at random: most often none. */
export interface Pad {
  readonly left: number;
  readonly right: number;
}

export function randomPad(random: Random): Pad {
  return random.chance(0.5)
    ? { left: 0, right: 0 }
    : {
        left: random.integer(0, 5),
        right: random.integer(0, 5),
      };
}

/** Replaces one element by NaN or an infinity, in `share` of the calls. */
export function poison(random: Random, values: Float32Array, share: number): boolean {
  if (values.length === 0 || !random.chance(share)) return false;
  values[random.integer(0, values.length - 1)] = random.pick([
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ]);
  return true;
}

export const padWords = (pad: Pad): string => (pad.left + pad.right > 0 ? `, view ${pad.left}+..+${pad.right}` : '');

export function linearCase(
  random: Random,
  rows: number,
  inputs: number,
  outputs: number,
  dtype: PlainDType,
  bias: boolean,
  pad: Pad,
  poisoned = 0,
): OpCase {
  const x = random.floats(rows * inputs);
  const w = random.floats(outputs * inputs);
  const b = bias ? random.floats(outputs) : null;
  poison(random, x, poisoned);
  poison(random, w, poisoned / 2);
  const call = (backend: Backend, xs: Float32Array, ws: Float32Array, bs: Float32Array | null): Promise<Outcome> =>
    scoped(backend, async (scope) => {
      const weight = scope.weight(matrix('w', [outputs, inputs]), ws, dtype);
      const offsets = scope.vector('bias', [outputs], bs);
      return {
        y: await scope.read(backend.linear(scope.view(xs, rows, inputs, pad.left, pad.right), weight, offsets)),
      };
    });
  return {
    op: 'linear',
    label: `[${rows}, ${inputs}] x [${outputs}, ${inputs}] ${dtype}${bias ? ' + bias' : ''}${padWords(pad)}`,
    run: (backend) => call(backend, x, w, b),
    bounds: (exact) => call(exact, abs32(x), abs32(w), b && abs32(b)),
  };
}

export function logitsCase(
  random: Random,
  rows: number,
  channels: number,
  vocabulary: number,
  padded: number,
  dtype: PlainDType,
  asked: Int32Array,
  pad: Pad,
  poisoned = 0,
): OpCase {
  const x = random.floats(rows * channels);
  const w = random.floats((vocabulary + padded) * channels);
  poison(random, x, poisoned);
  const call = (backend: Backend, xs: Float32Array, ws: Float32Array): Promise<Outcome> =>
    scoped(backend, async (scope) => {
      const weight = scope.weight(matrix('w', [vocabulary + padded, channels]), ws, dtype);
      const input = scope.view(xs, rows, channels, pad.left, pad.right);
      return { y: await scope.read(backend.logits(input, weight, asked, vocabulary)) };
    });
  return {
    op: 'logits',
    label: `${asked.length} of [${rows}, ${channels}] x [${vocabulary}+${padded}, ${channels}] ${dtype}${padWords(pad)}`,
    run: (backend) => call(backend, x, w),
    bounds: (exact) => call(exact, abs32(x), abs32(w)),
  };
}

export function embeddingCase(
  random: Random,
  tokens: number,
  vocabulary: number,
  channels: number,
  dtype: PlainDType,
  poisoned = 0,
): OpCase {
  const w = random.floats(vocabulary * channels);
  poison(random, w, poisoned);
  const ids = Int32Array.from({ length: tokens }, () => random.integer(0, vocabulary - 1));
  return {
    op: 'embedding',
    label: `${tokens} of [${vocabulary}, ${channels}] ${dtype}`,
    run: (backend) =>
      scoped(backend, async (scope) => {
        const weight = scope.weight(matrix('w', [vocabulary, channels]), w, dtype);
        return { y: await scope.read(backend.embedding(ids, weight)) };
      }),
    bounds: async () => ({}),
  };
}

export function rmsNormCase(
  random: Random,
  rows: number,
  channels: number,
  eps: number,
  weighted: boolean,
  pad: Pad,
  poisoned = 0,
  groups = 1,
  repeats = 1,
): OpCase {
  const scale = random.pick([1e-3, 1, 1, 100]);
  const x = random.floats(rows * channels, -scale, scale);
  if (rows > 0 && random.chance(0.05)) x.fill(0, 0, channels);
  const width = channels / repeats;
  const w = weighted ? random.floats(width) : null;
  poison(random, x, poisoned);
  const run = (backend: Backend): Promise<Outcome> =>
    scoped(backend, async (scope) => {
      const weight = scope.vector('w', [width], w);
      const input = scope.view(x, rows, channels, pad.left, pad.right);
      return { y: await scope.read(backend.rmsNorm(input, weight, eps, groups)) };
    });
  return {
    op: 'rmsNorm',
    label: `[${rows}, ${channels}], eps ${eps}, groups ${groups}${weighted ? `, weight x ${repeats}` : ', no weight'}${padWords(pad)}`,
    run,
    bounds: async (exact) => ({ y: absolute((await run(exact)).y!) }),
  };
}

export function addCase(random: Random, rows: number, channels: number, left: Pad, right: Pad, poisoned = 0): OpCase {
  const a = random.floats(rows * channels);
  const b = random.floats(rows * channels);
  poison(random, a, poisoned);
  poison(random, b, poisoned);
  const call = (backend: Backend, as: Float32Array, bs: Float32Array): Promise<Outcome> =>
    scoped(backend, async (scope) => {
      const x = scope.view(as, rows, channels, left.left, left.right);
      const y = scope.view(bs, rows, channels, right.left, right.right);
      return { y: await scope.read(backend.add(x, y)) };
    });
  return {
    op: 'add',
    label: `[${rows}, ${channels}]${padWords(left)}${padWords(right)}`,
    run: (backend) => call(backend, a, b),
    bounds: (exact) => call(exact, abs32(a), abs32(b)),
  };
}

export const abs32 = (values: Float32Array): Float32Array => values.map(Math.abs);
