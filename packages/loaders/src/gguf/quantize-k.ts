import { f16ToF32, f32ToF16 } from '@mamba-ts/tensor';
import type { Quantize } from './quantize.ts';

// Blocks of 256 elements, in groups with scales of their own that are quantised in turn, by the search of llama.cpp
// (ggml-quants.c, quantize_row_q4_K_ref, _q5_K_ref and _q6_K_ref). Each step is rounded to f32 as there: which of two
// levels is nearer hangs on the last bit, and so files come out the same byte for byte.

const f = Math.fround;
const TENTH = f(0.1);
/** Groups whose greatest element is below this are zeros. */
const NOTHING = f(1e-15);

/** The nearest whole number, ties to even, of an f32 below 2^22: at 3 * 2^22 an f32 has no other ones. */
const nearest = (value: number): number => f(value + 12582912) - 12582912;

const clamp = (value: number, low: number, high: number): number => (value > low ? Math.min(value, high) : low);

const writeF16 = (out: Uint8Array, at: number, value: number): number => {
  const bits = f32ToF16(value);
  out[at] = bits & 0xff;
  out[at + 1] = bits >> 8;
  return f16ToF32(bits);
};

/** Levels 0 .. most for 32 elements, and what they stand for: x = scale * level - minimum, minimum >= 0. */
interface Affine {
  scale: number;
  minimum: number;
}

/** How finely scales around the one that spans the group are tried: from `first` levels more, `steps` tenths further. */
interface Search {
  readonly most: number;
  readonly first: number;
  readonly steps: number;
}

const weights = new Float32Array(32);
const tried = new Uint8Array(32);

/**
 * Fits the elements from `at` on by weighted least squares for each of several ways to round them, and keeps the way with
 * the least error; its levels go to `levels` (make_qkx2_quants). Large elements weigh more.
 */
function fitAffine(x: Float32Array, at: number, search: Search, levels: Uint8Array, to: number, out: Affine): void {
  const { most, first, steps } = search;
  let squares = 0;
  for (let i = 0; i < 32; i++) squares = f(squares + f(x[at + i]! * x[at + i]!));
  const typical = f(Math.sqrt(f(squares / 32)));
  let low = x[at]!;
  let high = low;
  let sumW = 0;
  let sumX = 0;
  for (let i = 0; i < 32; i++) {
    const value = x[at + i]!;
    const w = f(typical + Math.abs(value));
    weights[i] = w;
    if (value < low) low = value;
    if (value > high) high = value;
    sumW = f(sumW + w);
    sumX = f(sumX + f(w * value));
  }
  if (low > 0) low = 0;
  out.minimum = -low;
  out.scale = 0;
  levels.fill(0, to, to + 32);
  if (high === low) return;

  let inverse = f(most / f(high - low));
  let scale = f(1 / inverse);
  let least = 0;
  for (let i = 0; i < 32; i++) {
    const level = clamp(nearest(f(inverse * f(x[at + i]! - low))), 0, most);
    levels[to + i] = level;
    const error = f(f(f(scale * level) + low) - x[at + i]!);
    least = f(least + f(weights[i]! * f(error * error)));
  }
  for (let step = 0; step <= steps; step++) {
    inverse = f(f(f(first + f(TENTH * step)) + most) / f(high - low));
    let sumL = 0;
    let sumLL = 0;
    let sumXL = 0;
    for (let i = 0; i < 32; i++) {
      const level = clamp(nearest(f(inverse * f(x[at + i]! - low))), 0, most);
      tried[i] = level;
      const weighted = f(weights[i]! * level);
      sumL = f(sumL + weighted);
      sumLL = f(sumLL + f(weighted * level));
      sumXL = f(sumXL + f(weighted * x[at + i]!));
    }
    const determinant = f(f(sumW * sumLL) - f(sumL * sumL));
    if (!(determinant > 0)) continue;
    let ownScale = f(f(f(sumW * sumXL) - f(sumX * sumL)) / determinant);
    let ownLow = f(f(f(sumLL * sumX) - f(sumL * sumXL)) / determinant);
    if (ownLow > 0) {
      ownLow = 0;
      ownScale = f(sumXL / sumLL);
    }
    let total = 0;
    for (let i = 0; i < 32; i++) {
      const error = f(f(f(ownScale * tried[i]!) + ownLow) - x[at + i]!);
      total = f(total + f(weights[i]! * f(error * error)));
    }
    if (total < least) {
      levels.set(tried, to);
      least = total;
      scale = ownScale;
      low = ownLow;
    }
  }
  out.scale = scale;
  out.minimum = -low;
}

/** Eight scales and eight minima of 6 bits each into 12 bytes. */
function packScales(scales: Uint8Array, minima: Uint8Array, out: Uint8Array, at: number): void {
  for (let j = 0; j < 4; j++) {
    const [scale, minimum] = [scales[j + 4]!, minima[j + 4]!];
    out[at + j] = scales[j]! | ((scale >> 4) << 6);
    out[at + 4 + j] = minima[j]! | ((minimum >> 4) << 6);
    out[at + 8 + j] = (scale & 15) | ((minimum & 15) << 4);
  }
}

/** q4_k, and with a fifth bit q5_k: the layout that dequantize.ts describes. */
function affineBlocks(search: Search): Quantize {
  const fifth = search.most > 15;
  const codes = fifth ? 48 : 16;
  const levels = new Uint8Array(256);
  const fits: Affine[] = Array.from({ length: 8 }, () => ({ scale: 0, minimum: 0 }));
  const scales = new Uint8Array(8);
  const minima = new Uint8Array(8);
  return (x, blocks, out) => {
    for (let block = 0, from = 0, at = 0; block < blocks; block++, from += 256, at += codes + 128) {
      let maxScale = 0;
      let maxMinimum = 0;
      for (let j = 0; j < 8; j++) {
        fitAffine(x, from + 32 * j, search, levels, 32 * j, fits[j]!);
        maxScale = Math.max(maxScale, fits[j]!.scale);
        maxMinimum = Math.max(maxMinimum, fits[j]!.minimum);
      }
      const perScale = maxScale > 0 ? f(63 / maxScale) : 0;
      const perMinimum = maxMinimum > 0 ? f(63 / maxMinimum) : 0;
      for (let j = 0; j < 8; j++) {
        scales[j] = clamp(nearest(f(perScale * fits[j]!.scale)), 0, 63);
        minima[j] = clamp(nearest(f(perMinimum * fits[j]!.minimum)), 0, 63);
      }
      const d = writeF16(out, at, f(maxScale / 63));
      const dmin = writeF16(out, at + 2, f(maxMinimum / 63));
      packScales(scales, minima, out, at + 4);
      for (let j = 0; j < 8; j++) {
        const scale = f(d * scales[j]!);
        if (scale === 0) continue;
        const minimum = f(dmin * minima[j]!);
        for (let i = 32 * j; i < 32 * j + 32; i++) {
          levels[i] = clamp(nearest(f(f(x[from + i]! + minimum) / scale)), 0, search.most);
        }
      }
      out.fill(0, at + 16, at + codes);
      for (let i = 0; i < 128; i++) {
        const [group, j] = [2 * (i >> 5), i & 31];
        const [low, high] = [levels[32 * group + j]!, levels[32 * group + 32 + j]!];
        out[at + codes + i] = (low & 15) | ((high & 15) << 4);
        if (fifth) out[at + 16 + j]! |= ((low >> 4) << group) | ((high >> 4) << (group + 1));
      }
    }
  };
}

export const q4_k: Quantize = affineBlocks({ most: 15, first: -1, steps: 20 });
export const q5_k: Quantize = affineBlocks({ most: 31, first: -0.5, steps: 15 });

/** The levels of the elements from `at` on at a scale of 1 / `inverse`, and x * level, level * level, summed by weight x^2. */
const sums = { xl: 0, ll: 0 };
function tryInverse(x: Float32Array, at: number, inverse: number): void {
  let xl = 0;
  let ll = 0;
  for (let i = at; i < at + 16; i++) {
    const level = clamp(nearest(f(inverse * x[i]!)), -32, 31);
    const w = f(x[i]! * x[i]!);
    xl = f(xl + f(f(w * x[i]!) * level));
    ll = f(ll + f(f(w * level) * level));
  }
  sums.xl = xl;
  sums.ll = ll;
}

/** The scale of 16 elements of which -32 .. 31 times it come nearest to them (make_qx_quants), and their levels, 32 added. */
function fitScale(x: Float32Array, at: number, levels: Uint8Array, to: number): number {
  let greatest = 0;
  for (let i = at; i < at + 16; i++) if (Math.abs(x[i]!) > Math.abs(greatest)) greatest = x[i]!;
  if (Math.abs(greatest) < NOTHING) {
    levels.fill(0, to, to + 16);
    return 0;
  }
  let best = f(-32 / greatest);
  tryInverse(x, at, best);
  let scale = sums.ll ? f(sums.xl / sums.ll) : 0;
  let gain = f(scale * sums.xl);
  for (let step = -9; step <= 9; step++) {
    if (step === 0) continue;
    const inverse = f(-f(32 + f(TENTH * step)) / greatest);
    tryInverse(x, at, inverse);
    if (sums.ll > 0 && f(sums.xl * sums.xl) > f(gain * sums.ll)) {
      best = inverse;
      scale = f(sums.xl / sums.ll);
      gain = f(scale * sums.xl);
    }
  }
  for (let i = 0; i < 16; i++) levels[to + i] = 32 + clamp(nearest(f(best * x[at + i]!)), -32, 31);
  return scale;
}

const levels6 = new Uint8Array(256);
const scales6 = new Float32Array(16);

export const q6_k: Quantize = (x, blocks, out) => {
  for (let block = 0, from = 0, at = 0; block < blocks; block++, from += 256, at += 210) {
    out.fill(0, at, at + 210);
    let greatest = 0;
    for (let j = 0; j < 16; j++) {
      scales6[j] = fitScale(x, from + 16 * j, levels6, 16 * j);
      if (Math.abs(scales6[j]!) > Math.abs(greatest)) greatest = scales6[j]!;
    }
    if (Math.abs(greatest) < NOTHING) continue;
    const inverse = f(-128 / greatest);
    const d = writeF16(out, at + 208, f(1 / inverse));
    for (let j = 0; j < 16; j++) {
      const scale = Math.min(127, nearest(f(inverse * scales6[j]!)));
      out[at + 192 + j] = scale;
      const step = f(d * scale);
      if (step === 0) continue;
      for (let i = 16 * j; i < 16 * j + 16; i++) {
        levels6[i] = 32 + clamp(nearest(f(x[from + i]! / step)), -32, 31);
      }
    }
    for (let i = 0; i < 256; i++) {
      const [half, level] = [i >> 7, levels6[i]!];
      out[at + half * 64 + (i & 63)]! |= (level & 15) << (i & 64 ? 4 : 0);
      out[at + 128 + half * 32 + (i & 31)]! |= (level >> 4) << (2 * ((i >> 5) & 3));
    }
  }
};
