import {
  bytesOf,
  DTYPES,
  type DType,
  f32ToBf16,
  f32ToF16,
  isQuantised,
  type ParameterSpec,
  type ParameterTree,
  randomBlocks,
  type TensorEntry,
  type WeightSource,
} from '@mamba-ts/tensor';
import { listParameters } from './parameters.ts';

const PIECE = 1 << 20;

/** mulberry32: plenty for initial values that only benchmarks see. Training draws from Philox instead. */
function uniformFrom(seed: number): () => number {
  let a = seed | 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Rows that are no whole blocks are kept in a type with smaller blocks, as llama.cpp does. */
function storable(dtype: DType, inputs: number): DType {
  if (inputs % DTYPES[dtype].block === 0) return dtype;
  return inputs % DTYPES.q8_0.block === 0 ? 'q8_0' : 'f16';
}

function encode(value: number, dtype: DType, view: DataView, at: number): void {
  if (dtype === 'f32') view.setFloat32(at, value, true);
  else view.setUint16(at, dtype === 'f16' ? f32ToF16(value) : f32ToBf16(value), true);
}

/**
 * A checkpoint with the initial values of each parameter, for benchmarks of a size whose weights are not at hand.
 * Matrices are of `dtype` where their rows are whole blocks of it (else q8_0 or f16), the rest is f32. A matrix over 1 MiB repeats its first MiB: values do not matter to speed,
 * and drawing 130 million of them would take longer than the benchmark.
 */
export function randomWeights(tree: ParameterTree, dtype: DType, seed: number): WeightSource {
  const specs = new Map<string, ParameterSpec>(listParameters(tree).map((spec) => [spec.name, spec]));
  const entries = new Map<string, TensorEntry>();
  for (const { name, role, shape } of specs.values()) {
    const stored = role === 'matrix' ? storable(dtype, shape[1]!) : 'f32';
    entries.set(name, {
      name,
      dtype: stored,
      shape,
      byteLength: bytesOf(
        stored,
        shape.reduce((product, axis) => product * axis, 1),
      ),
    });
  }
  return {
    entries,
    async *read(name) {
      const { dtype: stored, byteLength } = entries.get(name)!;
      const { init, role } = specs.get(name)!;
      const uniform = uniformFrom(seed ^ name.length);
      const width = DTYPES[stored].bytes;
      if (isQuantised(stored)) {
        const drawn = Array.from({ length: 256 }, (_, i) => Math.abs(init(i, uniform)));
        const blocks = Math.min(Math.floor(PIECE / width), byteLength / width);
        const piece = randomBlocks(stored, blocks, Math.max(...drawn), uniform);
        for (let start = 0; start < byteLength; start += piece.length) yield piece.subarray(0, byteLength - start);
        return;
      }
      const piece = new Uint8Array(Math.min(PIECE, byteLength));
      const view = new DataView(piece.buffer);
      for (let start = 0; start < byteLength; start += piece.length) {
        const length = Math.min(piece.length, byteLength - start);
        if (start === 0 || role === 'vector') {
          for (let at = 0; at < length; at += width) encode(init((start + at) / width, uniform), stored, view, at);
        }
        yield piece.subarray(0, length);
      }
    },
  };
}
