import {
  type Backend,
  checkAdd,
  checkCausalConv1d,
  checkConcat,
  checkEmbedding,
  checkLinear,
  checkLogits,
  checkRmsNorm,
  checkSelectiveScan,
  checkSiluGate,
  checkTensor,
  checkUpload,
  MambaError,
  type Tensor,
  type Weight,
} from '@mamba-ts/tensor';
import type { Opened, WasmBuild } from './build.ts';
import { WasmMemory } from './memory.ts';
import { recurrences, tally } from './recurrences.ts';
import { transformerOps } from './transformer-ops.ts';
import { addressOf, createWeight, freeWeight, ownWeight, readWeight, transposedTaps } from './weights.ts';

/** The most taps of a convolution that the kernel's tables hold. */
const MAX_TAPS = 16;

const ARITHMETIC: Readonly<Record<WasmBuild, string>> = {
  simd: 'WebAssembly simd128, f32; quantised weights: integers, activations of 14 bits',
  relaxed: 'WebAssembly simd128 and relaxed-simd, f32; quantised weights: integers, activations of 14 bits',
};

/** A backend on WebAssembly SIMD, with a memory of its own. */
export function createBackend(
  { kernels, build, pool, note }: Opened,
  memory: WasmMemory = new WasmMemory(`wasm-${build}`, kernels, pool),
): Backend {
  const { name } = memory;

  const vectorOf = (op: string, w: Weight | null): number => addressOf(memory, op, w);

  /** `linear` from addresses. */
  const product = (op: string, x: number, stride: number, w: Weight, bias: number, y: Tensor): void => {
    const own = ownWeight(memory, op, w);
    const [tokens, outputs] = y.shape;
    const target = memory.address(op, 'y', y);
    memory.kernels(op).linear(own.code, x, stride, own.address, bias, target, outputs, tokens, w.shape[1]!, outputs);
  };

  const scratchInts = (values: Int32Array): number => {
    const address = memory.scratch(4 * values.length);
    new Int32Array(memory.kernels('scratch').memory.buffer, address, values.length).set(values);
    return address;
  };

  return {
    name,
    describe: () => {
      memory.kernels('describe');
      return {
        name,
        threads: pool?.threads ?? 1,
        ...(note === null ? {} : { note }),
        arithmetic: ARITHMETIC[build],
        ops: {
          linear: 'native',
          embedding: 'native',
          rmsNorm: 'native',
          layerNorm: 'native',
          causalConv1d: 'native',
          selectiveScan: 'native',
          ssd: 'native',
          mamba3Scan: 'native',
          mimoGate: 'native',
          siluGate: 'native',
          gelu: 'native',
          rope: 'native',
          attention: 'native',
          concat: 'native',
          add: 'native',
          logits: 'native',
        },
      };
    },

    linear(x, w, bias) {
      memory.kernels('linear');
      checkLinear(x, w, bias);
      const from = memory.address('linear', 'x', x);
      const offsets = vectorOf('linear', bias);
      const y = memory.tensor(x.shape[0], w.shape[0]!); // [T, I] -> [T, O]
      product('linear', from, x.rowStride, w, offsets, y);
      return y;
    },

    embedding(ids, w) {
      const kernels = memory.kernels('embedding');
      checkEmbedding(ids, w);
      const own = ownWeight(memory, 'embedding', w);
      const y = memory.tensor(ids.length, w.shape[1]!); // [T] -> [T, C]
      kernels.embedding(own.code, scratchInts(ids), own.address, 4 * y.offset, ids.length, w.shape[1]!);
      return y;
    },

    rmsNorm(x, w, eps, groups = 1) {
      const kernels = memory.kernels('rmsNorm');
      checkRmsNorm(x, w, eps, groups);
      const from = memory.address('rmsNorm', 'x', x);
      const scale = vectorOf('rmsNorm', w);
      const [tokens, channels] = x.shape;
      const width = channels / groups;
      const y = memory.tensor(tokens, channels);
      kernels.rms_norm(from, x.rowStride, scale, w?.shape[0] ?? 1, 4 * y.offset, tokens, width, groups, eps);
      return y;
    },

    causalConv1d(x, w, bias, activation, state, segments) {
      const op = 'causalConv1d';
      const kernels = memory.kernels(op);
      checkCausalConv1d(x, w, bias, state, segments);
      const [tokens, channels] = x.shape;
      const taps = w.shape[1]!;
      if (taps > MAX_TAPS)
        throw new MambaError('SHAPE', `${op}: ${w.name} has ${taps} taps, at most ${MAX_TAPS} are supported`);
      const from = memory.address(op, 'x', x);
      const weights = transposedTaps(memory, ownWeight(memory, op, w));
      const offsets = vectorOf(op, bias);
      const states = segments.map(({ slot }) => memory.slots.field(op, slot, state));
      const y = memory.tensor(tokens, channels);
      const history = memory.scratch(4 * channels * (taps - 1));
      for (const [i, { start, length, reset }] of segments.entries()) {
        const at = states[i]!;
        if (reset) memory.floats().fill(0, at / 4, at / 4 + channels * (taps - 1));
        if (length === 0) continue;
        const rows = from + 4 * start * x.rowStride;
        const out = 4 * (y.offset + start * channels);
        const silu = activation === 'silu' ? 1 : 0;
        kernels.causal_conv(rows, x.rowStride, weights, offsets, at, history, out, length, channels, taps, silu);
      }
      return y;
    },

    selectiveScan(u, delta, A, B, C, D, z, deltaBias, deltaSoftplus, state, segments, skipping) {
      const op = 'selectiveScan';
      const kernels = memory.kernels(op);
      checkSelectiveScan(u, delta, A, B, C, D, z, deltaBias, state, segments, skipping);
      const [tokens, channels] = u.shape;
      const count = A.shape[1]!;
      const inputs = {
        u: memory.address(op, 'u', u),
        delta: memory.address(op, 'delta', delta),
        B: memory.address(op, 'B', B),
        C: memory.address(op, 'C', C),
        z: z === null ? 0 : memory.address(op, 'z', z),
      };
      const [a, skip, offsets] = [vectorOf(op, A), vectorOf(op, D), vectorOf(op, deltaBias)];
      const states = segments.map(({ slot }) => memory.slots.field(op, slot, state));
      const y = memory.tensor(tokens, channels);
      const work = memory.scratch(4 * kernels.scan_scratch_len(count));
      for (const [i, { start, length, reset }] of segments.entries()) {
        const at = states[i]!;
        if (reset) memory.floats().fill(0, at / 4, at / 4 + channels * count);
        if (length === 0) continue;
        const skipped = kernels.selective_scan(
          inputs.u + 4 * start * u.rowStride,
          u.rowStride,
          inputs.delta + 4 * start * delta.rowStride,
          delta.rowStride,
          a,
          inputs.B + 4 * start * B.rowStride,
          B.rowStride,
          inputs.C + 4 * start * C.rowStride,
          C.rowStride,
          skip,
          z === null ? 0 : inputs.z + 4 * start * z.rowStride,
          z === null ? 0 : z.rowStride,
          offsets,
          deltaSoftplus ? 1 : 0,
          at,
          4 * (y.offset + start * channels),
          length,
          channels,
          count,
          work,
          skipping?.below ?? 0,
        );
        tally(skipping, length * channels, skipped);
      }
      return y;
    },

    ...recurrences(memory),
    ...transformerOps(memory),

    siluGate(x, gate) {
      const kernels = memory.kernels('siluGate');
      checkSiluGate(x, gate);
      const [values, gates] = [memory.address('siluGate', 'x', x), memory.address('siluGate', 'gate', gate)];
      const [tokens, width] = x.shape;
      const y = memory.tensor(tokens, width);
      kernels.silu_gate(values, x.rowStride, gates, gate.rowStride, 4 * y.offset, tokens, width);
      return y;
    },

    concat(a, b) {
      const kernels = memory.kernels('concat');
      checkConcat(a, b);
      const [left, right] = [memory.address('concat', 'a', a), memory.address('concat', 'b', b)];
      const [tokens, start] = a.shape;
      const width = start + b.shape[1];
      const y = memory.tensor(tokens, width); // [T, A], [T, B] -> [T, A + B]
      kernels.copy_rows(left, a.rowStride, 4 * y.offset, width, tokens, start);
      kernels.copy_rows(right, b.rowStride, 4 * (y.offset + start), width, tokens, b.shape[1]);
      return y;
    },

    add(a, b) {
      const kernels = memory.kernels('add');
      checkAdd(a, b);
      const [left, right] = [memory.address('add', 'a', a), memory.address('add', 'b', b)];
      const [tokens, width] = a.shape;
      const y = memory.tensor(tokens, width);
      kernels.add(left, a.rowStride, right, b.rowStride, 4 * y.offset, tokens, width);
      return y;
    },

    logits(x, w, rows, vocabSize) {
      memory.kernels('logits');
      checkLogits(x, w, rows, vocabSize);
      const from = memory.address('logits', 'x', x);
      const channels = x.shape[1];
      // The asked rows side by side, unless they already are.
      let [source, stride] = [from + 4 * (rows[0] ?? 0) * x.rowStride, x.rowStride];
      if (rows.some((row, i) => row !== rows[0]! + i)) {
        source = memory.scratch(4 * rows.length * channels);
        stride = channels;
        const floats = memory.floats();
        for (const [i, row] of rows.entries()) {
          const start = from / 4 + row * x.rowStride;
          floats.copyWithin(source / 4 + i * channels, start, start + channels);
        }
      }
      const y = memory.tensor(rows.length, vocabSize); // [T, C] -> [rows, V]
      product('logits', source, stride, w, 0, y);
      return y;
    },

    memory: () => memory.use(),
    createWeight: (spec, dtype) => createWeight(memory, spec, dtype),
    freeWeight: (weight) => freeWeight(memory, weight),
    readWeight: async (weight) => readWeight(memory, weight),

    createSlot: (length, caches = []) => memory.slots.create(length, caches),
    freeSlot: (slot) => memory.slots.free(slot),
    reserveRows: (slot, rows) => memory.slots.reserve(slot, rows),
    copySlot: (from, to, rows = 0) => memory.slots.copy(from, to, rows),
    zeroSlot: (slot) => memory.slots.zero(slot),
    readSlot: async (slot, rows = 0) => memory.slots.read(slot, rows),
    writeSlot: (slot, values) => memory.slots.write(slot, values),

    upload(values, shape) {
      memory.kernels('upload');
      checkUpload(values, shape);
      const x = memory.tensor(shape[0], shape[1]);
      memory.floats().set(values, x.offset);
      return x;
    },
    async read(x) {
      memory.kernels('read');
      checkTensor('read', 'x', x);
      const start = memory.address('read', 'x', x) / 4;
      const [rows, width] = x.shape;
      const out = new Float32Array(rows * width);
      const floats = memory.floats();
      for (let t = 0; t < rows; t++) {
        const at = start + t * x.rowStride;
        out.set(floats.subarray(at, at + width), t * width);
      }
      return out;
    },
    endStep: () => memory.endStep(),
    dispose: () => memory.dispose(),
  };
}
