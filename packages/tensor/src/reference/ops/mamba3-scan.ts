import type { Mamba3Form } from '../../backend.ts';
import { accumulate, addInto, type BackwardRun, type FloatArray, type Matrix, type Run } from '../matrix.ts';
import { backwardThroughTime } from '../through-time.ts';
import { sigmoid, softplus, softplusSlope } from './scalar.ts';

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

/** The pair (dx[i], dx[j]) turned back, and its slope along theta at the turned pair (x[i], x[j]). */
function rotateBack(dx: Float64Array, x: Float64Array, i: number, j: number, theta: number): number {
  const [a, b, cos, sin] = [dx[i]!, dx[j]!, Math.cos(theta), Math.sin(theta)];
  dx[i] = a * cos + b * sin;
  dx[j] = b * cos - a * sin;
  return b * x[i]! - a * x[j]!;
}

/** The same shape as the inputs and weights of `mamba3Scan`: gradients that are wanted. */
export interface Mamba3Gradients<M, W> {
  readonly inputs: { readonly [K in keyof Mamba3Inputs<M>]: M | null };
  readonly weights: { readonly [K in keyof Mamba3Weights<W>]: W | null };
}

/**
 * Gradients of `mamba3Scan` to its inputs, weights and state. The fields of a run are angle, ssm, k and v, in this order.
 * dy `[T, R H P]`.
 */
export function mamba3ScanBackward(
  inputs: Mamba3Inputs<Matrix>,
  weights: Mamba3Weights<FloatArray>,
  form: Mamba3Form,
  shape: readonly [heads: number, width: number, states: number],
  rank: number,
  runs: readonly BackwardRun[],
  dy: Matrix,
  gradients: Mamba3Gradients<Matrix, FloatArray>,
): void {
  const { x, dt, a, trap, angle, B, C } = inputs;
  const { dtBias, biasB, biasC, D, mimoX } = weights;
  const [heads, width, states] = shape;
  const channels = heads * width;
  const groups = B.columns / (rank * states);
  const angles = angle.columns;
  const into = gradients.inputs;
  const sums = {
    dtBias: new Float64Array(heads),
    biasB: new Float64Array(biasB.length),
    biasC: new Float64Array(biasC.length),
    D: new Float64Array(heads),
    mimoX: new Float64Array(mimoX?.length ?? heads * rank * width),
  };
  const at = (m: Matrix, t: number, column: number): number => m.data[m.offset + t * m.stride + column]!;
  const y = new Float64Array(x.rows * rank * channels);
  const forward = (t: number, fields: readonly FloatArray[]): void => {
    const [of, ssm, k, v] = fields.map((state) => [{ start: t, length: 1, reset: false, state }]);
    mamba3Scan(inputs, weights, form, shape, rank, { angle: of!, ssm: ssm!, k: k!, v: v! }, y);
  };
  const q = new Float64Array(rank * states); // of one head, turned
  const k = new Float64Array(rank * states);
  const dq = new Float64Array(rank * states);
  const dk = new Float64Array(rank * states);
  const dkBefore = new Float64Array(rank * states);
  backwardThroughTime(runs, forward, (t, before, after, gradient) => {
    const [, S0, k0, x0] = before as [FloatArray, FloatArray, FloatArray, FloatArray];
    const [theta, S1] = after as [FloatArray, FloatArray];
    const [dTheta, dS, dKept, dv] = gradient as [FloatArray, FloatArray, FloatArray, FloatArray];
    for (let h = 0; h < heads; h++) {
      const raw = at(dt, t, h) + dtBias[h]!;
      const d = softplus(raw);
      const f = form.activation === 'softplus' ? softplus(at(a, t, h)) : heavyTail(at(a, t, h));
      const rate = Math.min(-f, -form.floor);
      const alpha = Math.exp(d * rate);
      const lambda = sigmoid(at(trap, t, h));
      const [beta, gamma] = [(1 - lambda) * d * alpha, lambda * d];
      const group = Math.floor(h / (heads / groups));
      const pair = (s: number): [number, number] =>
        form.rotation === 'pairs' ? [2 * s, 2 * s + 1] : [s, s + states / 2];
      for (let r = 0; r < rank; r++) {
        for (let n = 0; n < states; n++) {
          const column = (r * groups + group) * states + n;
          k[r * states + n] = at(B, t, column) + biasB[(h * rank + r) * states + n]!;
          q[r * states + n] = at(C, t, column) + biasC[(h * rank + r) * states + n]!;
          dk[r * states + n] = dKept[(r * heads + h) * states + n]!;
        }
        for (let s = 0; s < angles; s++) {
          const [one, other] = pair(s);
          rotate(k, r * states + one, r * states + other, theta[h * angles + s]!);
          rotate(q, r * states + one, r * states + other, theta[h * angles + s]!);
        }
      }
      dq.fill(0);
      dkBefore.fill(0);
      let [dalpha, dbeta, dgamma] = [0, 0, 0];
      for (let p = 0; p < width; p++) {
        const channel = h * width + p;
        const [input, last] = [at(x, t, channel), x0[channel]!];
        let [dInput, dLast] = [dv[channel]!, 0];
        const index = (r: number): number => (h * rank + r) * width + p;
        const project = (r: number): number => (mimoX === null ? 1 : mimoX[index(r)]!);
        for (let r = 0; r < rank; r++) {
          const slope = at(dy, t, r * channels + channel);
          sums.D[h]! += slope * input * project(r);
          dInput += slope * D[h]! * project(r);
          sums.mimoX[index(r)]! += slope * D[h]! * input;
          for (let n = 0; n < states; n++) {
            dq[r * states + n]! += slope * S1[channel * states + n]!;
            dS[channel * states + n]! += slope * q[r * states + n]!;
          }
        }
        for (let n = 0; n < states; n++) {
          const slope = dS[channel * states + n]!;
          dalpha += slope * S0[channel * states + n]!;
          for (let r = 0; r < rank; r++) {
            const [kLast, kNow] = [k0[(r * heads + h) * states + n]!, k[r * states + n]!];
            dbeta += slope * last * project(r) * kLast;
            dgamma += slope * input * project(r) * kNow;
            dLast += slope * beta * project(r) * kLast;
            dInput += slope * gamma * project(r) * kNow;
            dkBefore[r * states + n]! += slope * beta * last * project(r);
            dk[r * states + n]! += slope * gamma * input * project(r);
            sums.mimoX[index(r)]! += slope * (beta * last * kLast + gamma * input * kNow);
          }
          dS[channel * states + n] = slope * alpha;
        }
        accumulate(into.x, t, channel, dInput);
        dv[channel] = dLast;
      }
      for (let r = 0; r < rank; r++) {
        for (let s = 0; s < angles; s++) {
          const [one, other] = pair(s).map((n) => r * states + n) as [number, number];
          const turn = theta[h * angles + s]!;
          dTheta[h * angles + s]! += rotateBack(dk, k, one, other, turn) + rotateBack(dq, q, one, other, turn);
        }
        for (let n = 0; n < states; n++) {
          const column = (r * groups + group) * states + n;
          accumulate(into.B, t, column, dk[r * states + n]!);
          accumulate(into.C, t, column, dq[r * states + n]!);
          sums.biasB[(h * rank + r) * states + n]! += dk[r * states + n]!;
          sums.biasC[(h * rank + r) * states + n]! += dq[r * states + n]!;
          dKept[(r * heads + h) * states + n] = dkBefore[r * states + n]!;
        }
      }
      dalpha += (1 - lambda) * d * dbeta;
      const dExponent = dalpha * alpha;
      let dd = (1 - lambda) * alpha * dbeta + lambda * dgamma + dExponent * rate;
      for (let s = 0; s < angles; s++) {
        const tanh = Math.tanh(at(angle, t, s));
        const slope = dTheta[h * angles + s]! * Math.PI;
        dd += slope * tanh;
        accumulate(into.angle, t, s, slope * d * (1 - tanh * tanh));
      }
      const draw = dd * softplusSlope(raw);
      accumulate(into.dt, t, h, draw);
      sums.dtBias[h]! += draw;
      // At the floor the rate does not move.
      if (f > form.floor) accumulate(into.a, t, h, -dExponent * d * rateSlope(at(a, t, h), form.activation));
      accumulate(into.trap, t, h, (d * dgamma - d * alpha * dbeta) * lambda * (1 - lambda));
    }
  });
  const own = gradients.weights;
  addInto(own.dtBias, sums.dtBias);
  addInto(own.biasB, sums.biasB);
  addInto(own.biasC, sums.biasC);
  addInto(own.D, sums.D);
  addInto(own.mimoX, sums.mimoX);
}

/** The derivative of f. */
const rateSlope = (x: number, activation: Mamba3Form['activation']): number =>
  activation === 'softplus' ? softplusSlope(x) : x >= 0 ? 1 : 1 / (1 - x) ** 2;
