import type { Mamba3Form } from '../../backend.ts';
import type { FloatArray, Matrix, Run } from '../matrix.ts';
import { sigmoid, softplus } from './scalar.ts';

/** What `mamba3Scan` reads: token-major activations. */
export interface Mamba3Inputs<M> {
  readonly x: M;
  readonly dt: M;
  readonly a: M;
  readonly trap: M;
  readonly angle: M;
  readonly B: M;
  readonly C: M;
}

/** Its weights. */
export interface Mamba3Weights<W> {
  readonly dtBias: W;
  readonly biasB: W;
  readonly biasC: W;
  readonly D: W;
  readonly mimoX: W | null;
}

/** Its state: one run per field and segment. */
export interface Mamba3Runs {
  readonly angle: readonly Run[];
  readonly ssm: readonly Run[];
  readonly k: readonly Run[];
  readonly v: readonly Run[];
}

const TURN = 2 * Math.PI;

/** 1 + x to the right of 0, 1 / (1 - x) to the left. */
const heavyTail = (x: number): number => (x >= 0 ? 1 + x : 1 / (1 - x));

/**
 * The recurrence of Mamba-3, one row after another (formulas and shapes: `Ops.mamba3Scan`). Source: Lahoti et al. 2026;
 * state-spaces/mamba tests/ops/triton/test_mamba3_siso.py mamba3_siso_step_ref and tests/ops/tilelang/test_mamba3_mimo.py
 * mamba3_MIMO_step_ref.
 */
export function mamba3Scan(
  { x, dt, a, trap, angle, B, C }: Mamba3Inputs<Matrix>,
  { dtBias, biasB, biasC, D, mimoX }: Mamba3Weights<FloatArray>,
  form: Mamba3Form,
  [heads, width, states]: readonly [heads: number, width: number, states: number],
  rank: number,
  runs: Mamba3Runs,
  y: FloatArray,
): void {
  const channels = heads * width;
  const groups = B.columns / (rank * states);
  const angles = angle.columns;
  const at = (m: Matrix, t: number, column: number): number => m.data[m.offset + t * m.stride + column]!;
  const k = new Float64Array(rank * states); // [R, N] of one head
  const q = new Float64Array(rank * states);
  for (const [i, run] of runs.ssm.entries()) {
    const S = run.state; // [H, P, N]
    const theta = runs.angle[i]!.state; // [H, S]
    const kBefore = runs.k[i]!.state; // [R, H, N]
    const xBefore = runs.v[i]!.state; // [H, P]
    if (run.reset) for (const field of [S, theta, kBefore, xBefore]) field.fill(0);
    for (let t = run.start; t < run.start + run.length; t++) {
      for (let h = 0; h < heads; h++) {
        const d = softplus(at(dt, t, h) + dtBias[h]!);
        const f = form.activation === 'softplus' ? softplus(at(a, t, h)) : heavyTail(at(a, t, h));
        const alpha = Math.exp(d * Math.min(-f, -form.floor));
        const lambda = sigmoid(at(trap, t, h));
        const beta = (1 - lambda) * d * alpha;
        const gamma = lambda * d;

        for (let s = 0; s < angles; s++) {
          const turned = theta[h * angles + s]! + Math.PI * Math.tanh(at(angle, t, s)) * d;
          theta[h * angles + s] = turned - TURN * Math.floor(turned / TURN);
        }
        const group = Math.floor(h / (heads / groups));
        for (let r = 0; r < rank; r++) {
          for (let n = 0; n < states; n++) {
            const column = (r * groups + group) * states + n;
            k[r * states + n] = at(B, t, column) + biasB[(h * rank + r) * states + n]!;
            q[r * states + n] = at(C, t, column) + biasC[(h * rank + r) * states + n]!;
          }
          for (let s = 0; s < angles; s++) {
            const [one, other] = form.rotation === 'pairs' ? [2 * s, 2 * s + 1] : [s, s + states / 2];
            rotate(k, r * states + one, r * states + other, theta[h * angles + s]!);
            rotate(q, r * states + one, r * states + other, theta[h * angles + s]!);
          }
        }

        for (let p = 0; p < width; p++) {
          const input = at(x, t, h * width + p);
          const before = xBefore[h * width + p]!;
          const project = (r: number): number => (mimoX === null ? 1 : mimoX[(h * rank + r) * width + p]!);
          for (let n = 0; n < states; n++) {
            let sum = alpha * S[(h * width + p) * states + n]!;
            for (let r = 0; r < rank; r++) {
              sum += beta * before * project(r) * kBefore[(r * heads + h) * states + n]!;
              sum += gamma * input * project(r) * k[r * states + n]!;
            }
            S[(h * width + p) * states + n] = sum;
          }
          for (let r = 0; r < rank; r++) {
            let sum = D[h]! * input * project(r);
            for (let n = 0; n < states; n++) sum += S[(h * width + p) * states + n]! * q[r * states + n]!;
            y[t * rank * channels + r * channels + h * width + p] = sum; // [T, R, H, P]
          }
          xBefore[h * width + p] = input;
        }
        for (let r = 0; r < rank; r++) {
          for (let n = 0; n < states; n++) kBefore[(r * heads + h) * states + n] = k[r * states + n]!;
        }
      }
    }
  }
}

/** The pair (x[i], x[j]) turned by `theta`. */
function rotate(x: Float64Array, i: number, j: number, theta: number): void {
  const [a, b, cos, sin] = [x[i]!, x[j]!, Math.cos(theta), Math.sin(theta)];
  x[i] = a * cos - b * sin;
  x[j] = a * sin + b * cos;
}
