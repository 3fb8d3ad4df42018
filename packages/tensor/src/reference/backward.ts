import type { Segment, StateField } from '../backend.ts';
import type { BackwardOps, BackwardSegment, TrainingBackend } from '../backward.ts';
import {
  checkCausalConv1d,
  checkConcat,
  checkEmbedding,
  checkGelu,
  checkLayerNorm,
  checkLinear,
  checkRmsNorm,
  checkSelectiveScan,
  checkSiluGate,
} from '../check.ts';
import { checkCrossEntropy, checkDropout, checkGradientSlots, checkGradients } from '../check-backward.ts';
import { checkAttention, checkRope, rowLength } from '../check-cache.ts';
import { checkMamba3Scan, checkMimoGate, checkSsd } from '../check-ssm.ts';
import type { Tensor } from '../tensor.ts';
import type { Weight } from '../weights.ts';
import type { BackwardRun, FloatArray, Matrix } from './matrix.ts';
import { addBackward } from './ops/add.ts';
import { attentionBackward, type CachedRun } from './ops/attention.ts';
import { causalConv1dBackward } from './ops/causal-conv1d.ts';
import { concatBackward } from './ops/concat.ts';
import { crossEntropy, crossEntropyBackward } from './ops/cross-entropy.ts';
import { dropout, dropoutBackward } from './ops/dropout.ts';
import { embeddingBackward } from './ops/embedding.ts';
import { geluBackward } from './ops/gelu.ts';
import { layerNormBackward } from './ops/layer-norm.ts';
import { linearBackward } from './ops/linear.ts';
import { mamba3ScanBackward } from './ops/mamba3-scan.ts';
import { mimoGateBackward } from './ops/mimo-gate.ts';
import { rmsNormBackward } from './ops/rms-norm.ts';
import { ropeBackward } from './ops/rope.ts';
import { selectiveScanBackward } from './ops/selective-scan.ts';
import { siluGateBackward } from './ops/silu-gate.ts';
import { ssdBackward } from './ops/ssd.ts';

/** The row positions of the tokens of the segments, in row order. */
export const positionsOf = (segments: readonly Segment[]): number[] =>
  segments.flatMap(({ length, position }) => Array.from({ length }, (_, t) => (position ?? 0) + t));

/** What the backward ops need of a memory, so that they run on any that can show itself as arrays. */
export interface BackwardMemory {
  /** Throws `DISPOSED` after the backend's end. */
  assertAlive(call: string): void;
  /** A tensor's rows as arrays. */
  matrix(op: string, name: string, x: Tensor): Matrix;
  /** The values of a weight. */
  weight(op: string, weight: Weight): FloatArray;
  /** The gradient of a weight, row-major, or null where it is not tracked. */
  gradient(weight: Weight): FloatArray | null;
  /** The segments with the pieces of their states and gradients that belong to `fields`. */
  backwardRuns(op: string, fields: readonly StateField[], segments: readonly BackwardSegment[]): BackwardRun[];
  /** The segments with each one's rows. */
  cachedRuns(op: string, segments: readonly Segment[]): CachedRun[];
  /** A tensor that lives until the step ends, and its values: zeros. */
  scratch(rows: number, columns: number): { tensor: Tensor; data: FloatArray };
}

/** The backward ops of the reference: checks, then the functions beside the ops. */
export function referenceBackward(
  memory: BackwardMemory,
): BackwardOps & Pick<TrainingBackend, 'crossEntropy' | 'dropout'> {
  const matrix = (op: string, x: Tensor): Matrix => memory.matrix(op, 'an input', x);
  const wanted = (op: string, x: Tensor | null): Matrix | null =>
    x === null ? null : memory.matrix(op, 'a gradient', x);
  const weight = (op: string, w: Weight | null): FloatArray | null => (w === null ? null : memory.weight(op, w));
  const gradient = (w: Weight | null): FloatArray | null => (w === null ? null : memory.gradient(w));

  return {
    linearBackward(x, w, bias, dy, dx) {
      const op = 'linearBackward';
      memory.assertAlive(op);
      checkLinear(x, w, bias);
      checkGradients(op, dy, [x.shape[0], w.shape[0]!], { x: [dx, x] });
      linearBackward(matrix(op, x), memory.weight(op, w), matrix(op, dy), wanted(op, dx), gradient(w), gradient(bias));
    },

    embeddingBackward(ids, w, dy) {
      const op = 'embeddingBackward';
      memory.assertAlive(op);
      checkEmbedding(ids, w);
      checkGradients(op, dy, [ids.length, w.shape[1]!], {});
      embeddingBackward(ids, matrix(op, dy), gradient(w));
    },

    rmsNormBackward(x, w, eps, groups, dy, dx) {
      const op = 'rmsNormBackward';
      memory.assertAlive(op);
      checkRmsNorm(x, w, eps, groups);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      rmsNormBackward(matrix(op, x), weight(op, w), eps, groups, matrix(op, dy), wanted(op, dx), gradient(w));
    },

    layerNormBackward(x, w, bias, eps, dy, dx) {
      const op = 'layerNormBackward';
      memory.assertAlive(op);
      checkLayerNorm(x, w, bias, eps);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      const [slopes, into] = [matrix(op, dy), wanted(op, dx)];
      layerNormBackward(matrix(op, x), memory.weight(op, w), eps, slopes, into, gradient(w), gradient(bias));
    },

    causalConv1dBackward(x, w, bias, activation, state, segments, dy, dx) {
      const op = 'causalConv1dBackward';
      memory.assertAlive(op);
      checkCausalConv1d(x, w, bias, state, segments);
      checkGradientSlots(op, segments);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      const inputs = [matrix(op, x), memory.weight(op, w), weight(op, bias), activation] as const;
      const runs = memory.backwardRuns(op, [state], segments);
      causalConv1dBackward(...inputs, runs, matrix(op, dy), wanted(op, dx), gradient(w), gradient(bias));
    },

    selectiveScanBackward(u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments, dy, gradients) {
      const op = 'selectiveScanBackward';
      memory.assertAlive(op);
      checkSelectiveScan(u, delta, A, B, C, D, z, deltaBias, state, segments);
      checkGradientSlots(op, segments);
      const { u: du, delta: ddelta, B: dB, C: dC, z: dz } = gradients;
      const pairs = { u: [du, u], delta: [ddelta, delta], B: [dB, B], C: [dC, C] } as const;
      checkGradients(op, dy, u.shape, { ...pairs, z: [dz, z ?? u] });
      selectiveScanBackward(
        matrix(op, u),
        matrix(op, delta),
        memory.weight(op, A),
        matrix(op, B),
        matrix(op, C),
        weight(op, D),
        wanted(op, z),
        weight(op, deltaBias),
        deltaSoftplus,
        memory.backwardRuns(op, [state], segments),
        matrix(op, dy),
        {
          u: wanted(op, du),
          delta: wanted(op, ddelta),
          A: gradient(A),
          B: wanted(op, dB),
          C: wanted(op, dC),
          D: gradient(D),
          z: wanted(op, dz),
          deltaBias: gradient(deltaBias),
        },
      );
    },

    ssdBackward(x, dt, A, B, C, D, dtBias, dtLimit, state, segments, dy, gradients) {
      const op = 'ssdBackward';
      memory.assertAlive(op);
      checkSsd(x, dt, A, B, C, D, dtBias, dtLimit, state, segments);
      checkGradientSlots(op, segments);
      const { x: dx, dt: ddt, B: dB, C: dC } = gradients;
      checkGradients(op, dy, x.shape, { x: [dx, x], dt: [ddt, dt], B: [dB, B], C: [dC, C] });
      ssdBackward(
        matrix(op, x),
        matrix(op, dt),
        memory.weight(op, A),
        matrix(op, B),
        matrix(op, C),
        weight(op, D),
        weight(op, dtBias),
        dtLimit,
        state.shape[2]!,
        memory.backwardRuns(op, [state], segments),
        matrix(op, dy),
        {
          x: wanted(op, dx),
          dt: wanted(op, ddt),
          A: gradient(A),
          B: wanted(op, dB),
          C: wanted(op, dC),
          D: gradient(D),
          dtBias: gradient(dtBias),
        },
      );
    },

    mamba3ScanBackward(inputs, weights, form, state, segments, dy, gradients) {
      const op = 'mamba3ScanBackward';
      memory.assertAlive(op);
      const rank = checkMamba3Scan(inputs, weights, form, state, segments);
      checkGradientSlots(op, segments);
      const { x } = inputs;
      const names = ['x', 'dt', 'a', 'trap', 'angle', 'B', 'C'] as const;
      const pairs = Object.fromEntries(names.map((name) => [name, [gradients[name], inputs[name]] as const]));
      checkGradients(op, dy, [x.shape[0], rank * x.shape[1]], pairs);
      const each = <T>(of: (name: (typeof names)[number]) => T): Record<(typeof names)[number], T> =>
        Object.fromEntries(names.map((name) => [name, of(name)])) as Record<(typeof names)[number], T>;
      mamba3ScanBackward(
        each((name) => matrix(op, inputs[name])),
        {
          dtBias: memory.weight(op, weights.dtBias),
          biasB: memory.weight(op, weights.biasB),
          biasC: memory.weight(op, weights.biasC),
          D: memory.weight(op, weights.D),
          mimoX: weight(op, weights.mimoX),
        },
        form,
        state.ssm.shape as [number, number, number],
        rank,
        memory.backwardRuns(op, [state.angle, state.ssm, state.k, state.v], segments),
        matrix(op, dy),
        {
          inputs: each((name) => wanted(op, gradients[name])),
          weights: {
            dtBias: gradient(weights.dtBias),
            biasB: gradient(weights.biasB),
            biasC: gradient(weights.biasC),
            D: gradient(weights.D),
            mimoX: gradient(weights.mimoX),
          },
        },
      );
    },

    mimoGateBackward(y, gate, wGate, wOut, dout, { y: dy, gate: dgate }) {
      const op = 'mimoGateBackward';
      memory.assertAlive(op);
      checkMimoGate(y, gate, wGate, wOut);
      checkGradients(op, dout, gate.shape, { y: [dy, y], gate: [dgate, gate] });
      const inputs = [matrix(op, y), matrix(op, gate), memory.weight(op, wGate), memory.weight(op, wOut)] as const;
      const into = [wanted(op, dy), wanted(op, dgate), gradient(wGate), gradient(wOut)] as const;
      mimoGateBackward(...inputs, wGate.shape[2]!, matrix(op, dout), ...into);
    },

    siluGateBackward(x, gate, dy, { x: dx, gate: dgate }) {
      const op = 'siluGateBackward';
      memory.assertAlive(op);
      checkSiluGate(x, gate);
      checkGradients(op, dy, x.shape, { x: [dx, x], gate: [dgate, gate] });
      siluGateBackward(matrix(op, x), matrix(op, gate), matrix(op, dy), wanted(op, dx), wanted(op, dgate));
    },

    geluBackward(x, form, dy, dx) {
      const op = 'geluBackward';
      memory.assertAlive(op);
      checkGelu(x, form);
      checkGradients(op, dy, x.shape, { x: [dx, x] });
      geluBackward(matrix(op, x), form, matrix(op, dy), matrix(op, dx));
    },

    ropeBackward(frequencies, rotation, segments, dy, dx) {
      const op = 'ropeBackward';
      memory.assertAlive(op);
      checkRope(dy, frequencies, rotation, segments);
      checkGradients(op, dy, dx.shape, {});
      ropeBackward(frequencies, rotation, positionsOf(segments), matrix(op, dy), matrix(op, dx));
    },

    attentionBackward(q, k, v, scale, cache, segments, dy, { q: dq, k: dk, v: dv }) {
      const op = 'attentionBackward';
      memory.assertAlive(op);
      const gradients = segments.map((segment) => ({ ...segment, slot: segment.gradient }));
      checkAttention(q, k, v, scale, cache, gradients);
      checkGradientSlots(op, segments);
      checkGradients(op, dy, q.shape, { q: [dq, q], k: [dk, k], v: [dv, v] });
      const inputs = [matrix(op, q), matrix(op, k), matrix(op, v), scale, cache] as const;
      const into = memory.cachedRuns(op, gradients);
      const runs = memory
        .cachedRuns(op, segments)
        .map((run, i) => ({ ...run, sequence: segments[i]!.gradient, gradients: into[i]!.rows }));
      const row = rowLength(segments[0]?.slot.caches ?? []);
      attentionBackward(...inputs, row, runs, matrix(op, dy), wanted(op, dq), wanted(op, dk), wanted(op, dv));
    },

    concatBackward(dy, { a: da, b: db }) {
      const op = 'concatBackward';
      memory.assertAlive(op);
      const left = da?.shape[1] ?? dy.shape[1] - (db?.shape[1] ?? 0);
      if (da !== null && db !== null) checkConcat(da, db);
      checkGradients(op, dy, [dy.shape[0], left + (db?.shape[1] ?? dy.shape[1] - left)], {});
      concatBackward(matrix(op, dy), wanted(op, da), wanted(op, db), left);
    },

    addBackward(dy, { a: da, b: db }) {
      const op = 'addBackward';
      memory.assertAlive(op);
      checkGradients(op, dy, dy.shape, { a: [da, dy], b: [db, dy] });
      addBackward(matrix(op, dy), wanted(op, da), wanted(op, db));
    },

    crossEntropy(x, w, rows, targets, vocabSize) {
      const op = 'crossEntropy';
      memory.assertAlive(op);
      checkCrossEntropy(x, w, rows, targets, vocabSize);
      const [input, values] = [matrix(op, x), memory.weight(op, w)];
      const y = memory.scratch(rows.length, 1); // [T, C] -> [rows, 1]
      crossEntropy(input, values, rows, targets, vocabSize, y.data);
      return y.tensor;
    },

    dropout(x, rate, mask) {
      memory.assertAlive('dropout');
      checkDropout(x, rate);
      const input = matrix('dropout', x);
      const y = memory.scratch(...x.shape);
      dropout(input, rate, mask, y.data);
      return y.tensor;
    },

    dropoutBackward(rate, mask, dy, dx) {
      const op = 'dropoutBackward';
      memory.assertAlive(op);
      checkDropout(dy, rate);
      checkGradients(op, dy, dx.shape, {});
      dropoutBackward(rate, mask, matrix(op, dy), matrix(op, dx));
    },

    crossEntropyBackward(x, w, rows, targets, vocabSize, dy, dx) {
      const op = 'crossEntropyBackward';
      memory.assertAlive(op);
      checkCrossEntropy(x, w, rows, targets, vocabSize);
      checkGradients(op, dy, [rows.length, 1], { x: [dx, x] });
      const inputs = [matrix(op, x), memory.weight(op, w), rows, targets, vocabSize] as const;
      crossEntropyBackward(...inputs, matrix(op, dy), wanted(op, dx), gradient(w));
    },
  };
}
