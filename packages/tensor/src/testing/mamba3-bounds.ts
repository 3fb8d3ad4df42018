import type { Mamba3Form } from '../backend.ts';
import { sigmoid, softplus } from '../reference/ops/scalar.ts';
import { absolute } from './bounds.ts';
import type { Sequence } from './sequences.ts';

interface Sizes {
  readonly heads: number;
  readonly width: number;
  readonly states: number;
  readonly groups: number;
  readonly rank: number;
  readonly angles: number;
}

interface Weights {
  readonly dtBias: Float32Array;
  readonly biasB: Float32Array;
  readonly biasC: Float32Array;
  readonly mimoX: Float32Array | null;
  readonly D: Float32Array;
}

/** A magnitude and its error, in units of the relative error of one operation. */
class Term {
  magnitude = 0;
  error = 0;
}

/**
 * First-order bounds of the rounding errors of `mamba3Scan`, as `scanBounds` has them for Mamba-1. An angle errs by what
 * its additions and the turns taken off it round away; a turned element by that, times the length of its pair.
 */
export function mamba3Bounds(
  { inputs, length, resets, initial }: Sequence,
  w: Weights,
  form: Mamba3Form,
  { heads, width, states, groups, rank, angles }: Sizes,
): { y: Float64Array; state: Float64Array } {
  const [x, dt, a, trap, angle, B, C] = inputs as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const channels = heads * width;
  const selected = rank * groups * states;
  const sizes = [heads * angles, channels * states, rank * heads * states, channels] as const;
  const y = new Float64Array(length * rank * channels);
  const magnitudes = absolute(initial);
  const errors = new Float64Array(magnitudes.length);
  const [angleAt, ssmAt, kAt, vAt] = [0, sizes[0], sizes[0] + sizes[1], sizes[0] + sizes[1] + sizes[2]];
  for (let t = 0; t < length; t++) {
    if (resets.includes(t)) {
      magnitudes.fill(0);
      errors.fill(0);
    }
    for (let h = 0; h < heads; h++) {
      const raw = dt[t * heads + h]! + w.dtBias[h]!;
      const d = softplus(raw);
      const dError = 2 * d + sigmoid(raw) * (Math.abs(dt[t * heads + h]!) + Math.abs(w.dtBias[h]!));
      const rate = a[t * heads + h]!;
      const f = Math.max(
        form.activation === 'softplus' ? softplus(rate) : rate >= 0 ? 1 + rate : 1 / (1 - rate),
        form.floor,
      );
      const alpha = Math.exp(-d * f);
      const alphaError = alpha * (2 + f * dError + 4 * d * f);
      const lambda = sigmoid(trap[t * heads + h]!);
      // 1 - lambda errs by a unit of 1, however small it is.
      const betaError = alphaError * d + alpha * (dError + 4 * d);
      const gammaError = lambda * (dError + 4 * d);

      const turnError = new Float64Array(angles);
      for (let s = 0; s < angles; s++) {
        const turn = Math.PI * Math.tanh(angle[t * angles + s]!);
        const i = angleAt + h * angles + s;
        errors[i] = errors[i]! + Math.abs(turn) * (dError + 4 * d) + 4 * (2 * Math.PI + Math.abs(turn) * d);
        magnitudes[i] = 2 * Math.PI;
        turnError[s] = errors[i]!;
      }
      const group = Math.floor(h / (heads / groups));
      const turned = (values: Float32Array, bias: Float32Array, r: number): Term[] => {
        const row = t * selected + (r * groups + group) * states;
        const terms = Array.from({ length: states }, (_, n) => {
          const term = new Term();
          term.magnitude = Math.abs(values[row + n]!) + Math.abs(bias[(h * rank + r) * states + n]!);
          term.error = term.magnitude;
          return term;
        });
        for (let s = 0; s < angles; s++) {
          const [one, other] = form.rotation === 'pairs' ? [2 * s, 2 * s + 1] : [s, s + states / 2];
          const size = terms[one]!.magnitude + terms[other]!.magnitude;
          for (const term of [terms[one]!, terms[other]!]) {
            term.magnitude = size;
            term.error = size * (4 + turnError[s]!);
          }
        }
        return terms;
      };
      const ranks = Array.from({ length: rank }, (_, r) => ({ k: turned(B, w.biasB, r), q: turned(C, w.biasC, r) }));

      for (let p = 0; p < width; p++) {
        const input = Math.abs(x[t * channels + h * width + p]!);
        const before = magnitudes[vAt + h * width + p]!;
        const project = (r: number): number => (w.mimoX === null ? 1 : Math.abs(w.mimoX[(h * rank + r) * width + p]!));
        const totals = new Float64Array(rank);
        for (let n = 0; n < states; n++) {
          const i = ssmAt + (h * width + p) * states + n;
          let magnitude = alpha * magnitudes[i]!;
          let error = alpha * errors[i]! + alphaError * magnitudes[i]!;
          for (const [r, { k }] of ranks.entries()) {
            const j = kAt + (r * heads + h) * states + n;
            const [old, now] = [before * project(r), input * project(r)];
            magnitude += d * alpha * old * magnitudes[j]! + lambda * d * now * k[n]!.magnitude;
            error += old * (betaError * magnitudes[j]! + d * alpha * (errors[j]! + magnitudes[j]!));
            error += now * (gammaError * k[n]!.magnitude + lambda * d * (k[n]!.error + k[n]!.magnitude));
          }
          magnitudes[i] = magnitude;
          errors[i] = error + magnitude;
          for (const [r, { q }] of ranks.entries()) {
            totals[r] = totals[r]! + q[n]!.magnitude * (errors[i]! + magnitude) + q[n]!.error * magnitude;
          }
        }
        for (let r = 0; r < rank; r++) {
          y[t * rank * channels + r * channels + h * width + p] =
            totals[r]! + 2 * Math.abs(w.D[h]!) * input * project(r);
        }
        magnitudes[vAt + h * width + p] = input;
        errors[vAt + h * width + p] = 0;
      }
      for (const [r, { k }] of ranks.entries()) {
        for (let n = 0; n < states; n++) {
          const j = kAt + (r * heads + h) * states + n;
          magnitudes[j] = k[n]!.magnitude;
          errors[j] = k[n]!.error;
        }
      }
    }
  }
  if (resets.includes(length)) {
    magnitudes.fill(0);
    errors.fill(0);
  }
  return { y, state: errors.map((error, i) => error + magnitudes[i]!) };
}
