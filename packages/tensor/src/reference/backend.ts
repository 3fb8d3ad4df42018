import type { BackendDescription, MemoryUse, Slot } from '../backend.ts';
import type { TrainingBackend } from '../backward.ts';
import {
  checkAdd,
  checkCausalConv1d,
  checkConcat,
  checkEmbedding,
  checkGelu,
  checkLayerNorm,
  checkLinear,
  checkLogits,
  checkRmsNorm,
  checkRole,
  checkSelectiveScan,
  checkSiluGate,
  checkTensor,
  checkUpload,
} from '../check.ts';
import { checkAttention, checkRope, rowLength } from '../check-cache.ts';
import { checkMamba3Scan, checkMimoGate, checkSsd } from '../check-ssm.ts';
import type { Tensor } from '../tensor.ts';
import type { ParameterSpec, Weight } from '../weights.ts';
import { positionsOf, referenceBackward } from './backward.ts';
import type { FloatArray } from './matrix.ts';
import { ReferenceMemory } from './memory.ts';
import { add } from './ops/add.ts';
import { attention } from './ops/attention.ts';
import { causalConv1d } from './ops/causal-conv1d.ts';
import { concat } from './ops/concat.ts';
import { embedding } from './ops/embedding.ts';
import { gelu } from './ops/gelu.ts';
import { layerNorm } from './ops/layer-norm.ts';
import { linear } from './ops/linear.ts';
import { logits } from './ops/logits.ts';
import { mamba3Scan } from './ops/mamba3-scan.ts';
import { mimoGate } from './ops/mimo-gate.ts';
import { rmsNorm } from './ops/rms-norm.ts';
import { rope } from './ops/rope.ts';
import { selectiveScan } from './ops/selective-scan.ts';
import { siluGate } from './ops/silu-gate.ts';
import { ssd } from './ops/ssd.ts';

/**
 * The backend that says what each op means. In `f32` every result and state is rounded to f32 and sums are formed in
 * f64; in `f64` everything is f64 throughout, which finite differences need. The methods below take and give values
 * without a detour through f32.
 */
export interface ReferenceBackend extends TrainingBackend {
  readonly precision: 'f32' | 'f64';
  upload(values: FloatArray, shape: readonly [number, number]): Tensor;
  /** The values of a tensor, row-major, in full precision. */
  readExact(x: Tensor): Promise<Float64Array>;
  /** A weight from f64 values in its logical order; `spec.map` is applied. Its `dtype` reads `f32` all the same. */
  loadExact(spec: ParameterSpec, values: Float64Array): Weight;
  writeSlot(slot: Slot, values: FloatArray): void;
  writeWeight(weight: Weight, values: FloatArray): void;
  /** As `readGradient`, without rounding to f32. */
  readGradientExact(weight: Weight): Promise<Float64Array>;
  /** As `readSlot`, without rounding to f32. */
  readSlotExact(slot: Slot, rows?: number): Promise<Float64Array>;
}

/** A backend in plain TypeScript, for checking and for reading; it is not meant to be fast. */
export function createReferenceBackend(options: { readonly precision?: 'f32' | 'f64' } = {}): ReferenceBackend {
  const precision = options.precision ?? 'f32';
  const memory = new ReferenceMemory(precision);

  const backward = referenceBackward(memory);

  const optionalWeight = (op: string, w: Weight | null): FloatArray | null =>
    w === null ? null : memory.weight(op, w);

  /** Row-major values of a view: a copy. */
  const gather = <A extends FloatArray>(x: Tensor, make: (length: number) => A): A => {
    memory.assertAlive('read');
    checkTensor('read', 'x', x);
    const { data, offset, stride, rows, columns } = memory.matrix('read', 'x', x);
    const out = make(rows * columns);
    for (let t = 0; t < rows; t++) {
      const from = offset + t * stride;
      out.set(data.subarray(from, from + columns), t * columns); // [T, stride] -> [T, C]
    }
    return out;
  };

  return {
    name: 'reference',
    precision,

    describe(): BackendDescription {
      memory.assertAlive('describe');
      return {
        name: 'reference',
        threads: 1,
        arithmetic: precision === 'f64' ? 'TypeScript, f64 throughout' : 'TypeScript, f32 results of f64 sums',
        ops: {
          linear: 'reference',
          embedding: 'reference',
          rmsNorm: 'reference',
          layerNorm: 'reference',
          causalConv1d: 'reference',
          selectiveScan: 'reference',
          ssd: 'reference',
          mamba3Scan: 'reference',
          mimoGate: 'reference',
          siluGate: 'reference',
          gelu: 'reference',
          rope: 'reference',
          attention: 'reference',
          concat: 'reference',
          add: 'reference',
          logits: 'reference',
        },
      };
    },

    linear(x, w, bias) {
      memory.assertAlive('linear');
      checkLinear(x, w, bias);
      const input = memory.matrix('linear', 'x', x);
      const values = memory.weight('linear', w);
      const offsets = optionalWeight('linear', bias);
      const y = memory.scratch(x.shape[0], w.shape[0]!); // [T, I] -> [T, O]
      linear(input, values, offsets, y.data);
      return y.tensor;
    },

    embedding(ids, w) {
      memory.assertAlive('embedding');
      checkEmbedding(ids, w);
      const values = memory.weight('embedding', w);
      const y = memory.scratch(ids.length, w.shape[1]!); // [T] -> [T, C]
      embedding(ids, values, w.shape[1]!, y.data);
      return y.tensor;
    },

    rmsNorm(x, w, eps, groups = 1) {
      memory.assertAlive('rmsNorm');
      checkRmsNorm(x, w, eps, groups);
      const input = memory.matrix('rmsNorm', 'x', x);
      const scale = optionalWeight('rmsNorm', w);
      const y = memory.scratch(x.shape[0], x.shape[1]);
      rmsNorm(input, scale, eps, groups, y.data);
      return y.tensor;
    },

    layerNorm(x, w, bias, eps) {
      const op = 'layerNorm';
      memory.assertAlive(op);
      checkLayerNorm(x, w, bias, eps);
      const input = memory.matrix(op, 'x', x);
      const [scale, offsets] = [memory.weight(op, w), optionalWeight(op, bias)];
      const y = memory.scratch(x.shape[0], x.shape[1]);
      layerNorm(input, scale, offsets, eps, y.data);
      return y.tensor;
    },

    causalConv1d(x, w, bias, activation, state, segments) {
      const op = 'causalConv1d';
      memory.assertAlive(op);
      checkCausalConv1d(x, w, bias, state, segments);
      const input = memory.matrix(op, 'x', x);
      const taps = memory.weight(op, w);
      const offsets = optionalWeight(op, bias);
      const runs = memory.runs(op, state, segments);
      const y = memory.scratch(x.shape[0], x.shape[1]);
      causalConv1d(input, taps, offsets, activation, runs, y.data);
      return y.tensor;
    },

    selectiveScan(u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments, skipping) {
      const op = 'selectiveScan';
      memory.assertAlive(op);
      checkSelectiveScan(u, delta, A, B, C, D, z, deltaBias, state, segments, skipping);
      const inputs = [
        memory.matrix(op, 'u', u),
        memory.matrix(op, 'delta', delta),
        memory.weight(op, A),
        memory.matrix(op, 'B', B),
        memory.matrix(op, 'C', C),
        optionalWeight(op, D),
        z === null ? null : memory.matrix(op, 'z', z),
        optionalWeight(op, deltaBias),
      ] as const;
      const runs = memory.runs(op, state, segments);
      const y = memory.scratch(u.shape[0], u.shape[1]);
      selectiveScan(...inputs, deltaSoftplus, runs, y.data, skipping);
      return y.tensor;
    },

    ssd(x, dt, A, B, C, D, dtBias, dtLimit, state, segments, skipping) {
      const op = 'ssd';
      memory.assertAlive(op);
      checkSsd(x, dt, A, B, C, D, dtBias, dtLimit, state, segments, skipping);
      const inputs = [
        memory.matrix(op, 'x', x),
        memory.matrix(op, 'dt', dt),
        memory.weight(op, A),
        memory.matrix(op, 'B', B),
        memory.matrix(op, 'C', C),
        optionalWeight(op, D),
        optionalWeight(op, dtBias),
      ] as const;
      const runs = memory.runs(op, state, segments);
      const y = memory.scratch(x.shape[0], x.shape[1]);
      ssd(...inputs, dtLimit, state.shape[2]!, runs, y.data, skipping);
      return y.tensor;
    },

    mamba3Scan(inputs, weights, form, state, segments) {
      const op = 'mamba3Scan';
      memory.assertAlive(op);
      const rank = checkMamba3Scan(inputs, weights, form, state, segments);
      const { x, dt, a, trap, angle, B, C } = inputs;
      const values = {
        x: memory.matrix(op, 'x', x),
        dt: memory.matrix(op, 'dt', dt),
        a: memory.matrix(op, 'a', a),
        trap: memory.matrix(op, 'trap', trap),
        angle: memory.matrix(op, 'angle', angle),
        B: memory.matrix(op, 'B', B),
        C: memory.matrix(op, 'C', C),
      };
      const own = {
        dtBias: memory.weight(op, weights.dtBias),
        biasB: memory.weight(op, weights.biasB),
        biasC: memory.weight(op, weights.biasC),
        D: memory.weight(op, weights.D),
        mimoX: optionalWeight(op, weights.mimoX),
      };
      const runs = {
        angle: memory.runs(op, state.angle, segments),
        ssm: memory.runs(op, state.ssm, segments),
        k: memory.runs(op, state.k, segments),
        v: memory.runs(op, state.v, segments),
      };
      const y = memory.scratch(x.shape[0], rank * x.shape[1]); // [T, H P] -> [T, R H P]
      mamba3Scan(values, own, form, state.ssm.shape as [number, number, number], rank, runs, y.data);
      return y.tensor;
    },

    mimoGate(y, gate, wGate, wOut) {
      const op = 'mimoGate';
      memory.assertAlive(op);
      checkMimoGate(y, gate, wGate, wOut);
      const [ranks, gates] = [memory.matrix(op, 'y', y), memory.matrix(op, 'gate', gate)];
      const [gateWeight, outWeight] = [memory.weight(op, wGate), memory.weight(op, wOut)];
      const out = memory.scratch(gate.shape[0], gate.shape[1]); // [T, R H P] -> [T, H P]
      mimoGate(ranks, gates, gateWeight, outWeight, wGate.shape[2]!, out.data);
      return out.tensor;
    },

    siluGate(x, gate) {
      memory.assertAlive('siluGate');
      checkSiluGate(x, gate);
      const values = memory.matrix('siluGate', 'x', x);
      const gates = memory.matrix('siluGate', 'gate', gate);
      const y = memory.scratch(x.shape[0], x.shape[1]);
      siluGate(values, gates, y.data);
      return y.tensor;
    },

    gelu(x, form) {
      memory.assertAlive('gelu');
      checkGelu(x, form);
      const input = memory.matrix('gelu', 'x', x);
      const y = memory.scratch(x.shape[0], x.shape[1]);
      gelu(input, form, y.data);
      return y.tensor;
    },

    rope(x, frequencies, rotation, segments) {
      memory.assertAlive('rope');
      checkRope(x, frequencies, rotation, segments);
      const input = memory.matrix('rope', 'x', x);
      const y = memory.scratch(x.shape[0], x.shape[1]);
      rope(input, frequencies, rotation, positionsOf(segments), y.data);
      return y.tensor;
    },

    attention(q, k, v, scale, cache, segments) {
      const op = 'attention';
      memory.assertAlive(op);
      checkAttention(q, k, v, scale, cache, segments);
      const inputs = [memory.matrix(op, 'q', q), memory.matrix(op, 'k', k), memory.matrix(op, 'v', v)] as const;
      const runs = memory.cachedRuns(op, segments);
      const row = rowLength(segments[0]?.slot.caches ?? []);
      const y = memory.scratch(q.shape[0], q.shape[1]); // [T H, D]
      attention(...inputs, scale, cache, row, runs, y.data);
      return y.tensor;
    },

    concat(a, b) {
      memory.assertAlive('concat');
      checkConcat(a, b);
      const left = memory.matrix('concat', 'a', a);
      const right = memory.matrix('concat', 'b', b);
      const y = memory.scratch(a.shape[0], a.shape[1] + b.shape[1]); // [T, A], [T, B] -> [T, A + B]
      concat(left, right, y.data);
      return y.tensor;
    },

    add(a, b) {
      memory.assertAlive('add');
      checkAdd(a, b);
      const left = memory.matrix('add', 'a', a);
      const right = memory.matrix('add', 'b', b);
      const y = memory.scratch(a.shape[0], a.shape[1]);
      add(left, right, y.data);
      return y.tensor;
    },

    logits(x, w, rows, vocabSize) {
      memory.assertAlive('logits');
      checkLogits(x, w, rows, vocabSize);
      const input = memory.matrix('logits', 'x', x);
      const values = memory.weight('logits', w);
      const y = memory.scratch(rows.length, vocabSize); // [T, C] -> [rows, V]
      logits(input, values, rows, vocabSize, y.data);
      return y.tensor;
    },

    ...backward,
    describeBackward: () => {
      const names = Object.keys(backward).filter((name) => name.endsWith('Backward'));
      return Object.fromEntries(names.map((name) => [name, 'reference'])) as ReturnType<
        ReferenceBackend['describeBackward']
      >;
    },
    zeros: (shape) => memory.scratch(...shape).tensor,
    trackGradient: (weight) => memory.trackGradient(weight),
    readGradient: async (weight) => Float32Array.from(memory.trackedGradient('readGradient', weight)),
    readGradientExact: async (weight) => Float64Array.from(memory.trackedGradient('readGradientExact', weight)),
    zeroGradient(weight) {
      memory.trackedGradient('zeroGradient', weight).fill(0);
    },
    writeWeight: (weight, values) => memory.writeWeight(weight, values),

    memory: (): MemoryUse => memory.use(),
    createWeight: (spec, dtype) => memory.createWeight(spec, dtype),
    loadExact: (spec, values) => memory.loadExact(spec, values),
    freeWeight: (weight) => memory.freeWeight(weight),
    async readWeight(weight) {
      memory.assertAlive('readWeight');
      checkRole('readWeight', 'the weight', weight, 'vector');
      return Float32Array.from(memory.weight('readWeight', weight));
    },

    createSlot: (length, caches = []) => memory.createSlot(length, caches),
    freeSlot: (slot) => memory.freeSlot(slot),
    reserveRows: (slot, rows) => memory.reserveRows(slot, rows),
    copySlot: (from, to, rows = 0) => memory.copySlot(from, to, rows),
    zeroSlot: (slot) => memory.zeroSlot(slot),
    readSlot: async (slot, rows = 0) => memory.readSlot(slot, rows, (length) => new Float32Array(length)),
    readSlotExact: async (slot, rows = 0) => memory.readSlot(slot, rows, (length) => new Float64Array(length)),
    writeSlot: (slot, values) => memory.writeSlot(slot, values),

    upload(values, shape) {
      memory.assertAlive('upload');
      checkUpload(values, shape);
      const y = memory.scratch(shape[0], shape[1]);
      y.data.set(values);
      return y.tensor;
    },
    read: async (x) => gather(x, (length) => new Float32Array(length)),
    readExact: async (x) => gather(x, (length) => new Float64Array(length)),
    endStep: () => memory.endStep(),
    dispose: () => memory.dispose(),
  };
}
