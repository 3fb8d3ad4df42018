//! Matrix products on quantised weights.
//!
//! 1. One token: the activations are rounded to 14 bits, 32 to a scale (what that costs is below 2^-14 of the largest
//!    of the 32, a hundredth of what the weights' own rounding costs), and meet the weights in exact integer dot
//!    products. See [`crate::integers`].
//! 2. Several tokens, and activations that are not finite: a tile of weights goes to f32 in L1 and on to the kernel of
//!    f32 matrices ([`super::linear`]).

use super::linear::{add_store, matrix_matrix, store_part, Shape};
use crate::blocks::Blocks;
use crate::integers::{Dots, Four, Sum, FOUR, LARGEST};
use crate::lanes::F32x4;
use crate::PANEL;

/// Activations that share a scale.
const GROUP: usize = 32;
/// Inputs whose activations are rounded at once; longer rows go on in y. A multiple of every block.
const INPUTS: usize = 4096;
/// Inputs of a tile of weights: 16 KiB as f32. A multiple of every block.
pub const TILE: usize = 512;

/// See [`crate::scalar::linear::linear`]; w packed by [`pack`], inputs whole blocks.
/// # Safety
/// As there.
pub unsafe fn linear<B: Blocks>(x: *const f32, w: *const u8, bias: *const f32, y: *mut f32, shape: &Shape) {
    if shape.tokens == 1 && (0..shape.inputs).all(|i| (*x.add(i)).is_finite()) {
        return matrix_vector::<B>(x, w, bias, y, shape.inputs, shape.outputs);
    }
    matrix_matrix::<TILE>(x, bias, y, shape, |o, i, width, tile| {
        for at in (0..width).step_by(B::INPUTS) {
            dequantise::<B>(w.add(block_at::<B>(o, i + at, shape.inputs)), tile.add(at * PANEL));
        }
    });
}

/// y[t] = w[ids[t]].
/// # Safety
/// As [`crate::scalar::linear::embedding`].
pub unsafe fn embedding<B: Blocks>(ids: *const u32, w: *const u8, y: *mut f32, tokens: usize, inputs: usize) {
    let mut tile = [0f32; TILE * PANEL];
    for t in 0..tokens {
        let id = *ids.add(t) as usize;
        for i in (0..inputs).step_by(B::INPUTS) {
            dequantise::<B>(w.add(block_at::<B>(id, i, inputs)), tile.as_mut_ptr());
            for k in 0..B::INPUTS {
                *y.add(t * inputs + i + k) = tile[k * PANEL + id % PANEL];
            }
        }
    }
}

/// Puts blocks `start .. start + count` of a row-major `[outputs, inputs]` matrix in their places in zeroed memory.
/// # Safety
/// `source` points to `count` blocks of a file, `target` to the whole packed matrix.
pub unsafe fn pack<B: Blocks>(source: *const u8, start: usize, count: usize, inputs: usize, target: *mut u8) {
    let row = inputs / B::INPUTS;
    for i in 0..count {
        let (output, at) = ((start + i) / row, (start + i) % row);
        let block = target.add(block_at::<B>(output, at * B::INPUTS, inputs));
        B::pack(source.add(i * B::SOURCE), output % PANEL, block);
    }
}

/// Where the block of an output and an input lies.
#[inline(always)]
fn block_at<B: Blocks>(output: usize, input: usize, inputs: usize) -> usize {
    (output / PANEL * (inputs / B::INPUTS) + input / B::INPUTS) * B::BYTES
}

/// 8 outputs' blocks to `[INPUTS, 8]`.
#[inline(always)]
unsafe fn dequantise<B: Blocks>(block: *const u8, to: *mut f32) {
    let factors = B::factors(block);
    for group in 0..B::INPUTS / B::GROUP {
        let scales = B::scales(block, factors, group);
        for k in 0..B::GROUP / 4 {
            let (lo, hi) = B::load(block, group, k);
            let column = to.add((group * B::GROUP + 4 * k) * PANEL);
            for (i, (lo, hi)) in lo.columns().into_iter().zip(hi.columns()).enumerate() {
                let (mut lo, mut hi) = (lo.mul(scales.factor.0), hi.mul(scales.factor.1));
                if B::MINIMA {
                    (lo, hi) = (lo.sub(scales.minimum.0), hi.sub(scales.minimum.1));
                }
                lo.store(column.add(i * PANEL));
                hi.store(column.add(i * PANEL + 4));
            }
        }
    }
}

/// Activations as whole numbers: x = scale q.
struct Rounded {
    q: [u8; INPUTS / 4 * FOUR],
    scale: [f32; INPUTS / GROUP],
    /// Of a group's activations as rounded.
    sum: [f32; INPUTS / GROUP],
}

impl Rounded {
    unsafe fn round(&mut self, x: *const f32, inputs: usize) {
        for group in 0..inputs / GROUP {
            let x = x.add(group * GROUP);
            let mut largest = F32x4::splat(0.0);
            for k in 0..GROUP / 4 {
                largest = largest.larger_magnitude(F32x4::load(x.add(4 * k)));
            }
            let largest = largest.largest();
            // What is this small counts as nothing: its reciprocal would be infinite.
            let (scale, inverse) = if largest < 1e-30 { (0.0, 0.0) } else { (largest / LARGEST, LARGEST / largest) };
            let mut sum = Sum::zero();
            for k in 0..GROUP / 4 {
                let scaled = F32x4::load(x.add(4 * k)).mul(F32x4::splat(inverse));
                sum = sum.add(Four::store(scaled, self.q.as_mut_ptr().add((group * GROUP / 4 + k) * FOUR)));
            }
            self.scale[group] = scale;
            self.sum[group] = scale * (sum.total() - 8192 * GROUP as i32) as f32;
        }
    }
}

unsafe fn matrix_vector<B: Blocks>(
    x: *const f32,
    w: *const u8,
    bias: *const f32,
    y: *mut f32,
    inputs: usize,
    outputs: usize,
) {
    let mut rounded = core::mem::MaybeUninit::<Rounded>::uninit();
    let rounded = &mut *rounded.as_mut_ptr();
    for i0 in (0..inputs.max(1)).step_by(INPUTS) {
        let width = INPUTS.min(inputs - i0);
        rounded.round(x.add(i0), width);
        for o in (0..outputs).step_by(PANEL) {
            let (lo, hi) = panel_sum::<B>(w.add(block_at::<B>(o, i0, inputs)), rounded, width);
            let start = match (i0, bias.is_null()) {
                (0, true) => bias,
                (0, false) => bias.add(o),
                _ => y.add(o) as *const f32,
            };
            if outputs - o >= PANEL {
                add_store(lo, hi, start, y.add(o));
            } else {
                store_part(lo, hi, start, y.add(o), outputs - o);
            }
        }
    }
}

/// 8 outputs over `width` inputs.
#[inline(always)]
unsafe fn panel_sum<B: Blocks>(w: *const u8, x: &Rounded, width: usize) -> (F32x4, F32x4) {
    let (mut lo, mut hi) = (F32x4::splat(0.0), F32x4::splat(0.0));
    for b in 0..width / B::INPUTS {
        let block = w.add(b * B::BYTES);
        let factors = B::factors(block);
        for group in 0..B::INPUTS / B::GROUP {
            let at = b * B::INPUTS + group * B::GROUP;
            let (mut dots_lo, mut dots_hi) = (Dots::zero(), Dots::zero());
            for k in 0..B::GROUP / 4 {
                let four = Four::load(x.q.as_ptr().add((at / 4 + k) * FOUR));
                let (w_lo, w_hi) = B::load(block, group, k);
                dots_lo = dots_lo.add(w_lo, four);
                dots_hi = dots_hi.add(w_hi, four);
            }
            let scales = B::scales(block, factors, group);
            let scale = F32x4::load_splat(x.scale.as_ptr().add(at / GROUP));
            lo = lo.add(dots_lo.finish().mul(scales.factor.0.mul(scale)));
            hi = hi.add(dots_hi.finish().mul(scales.factor.1.mul(scale)));
            if B::MINIMA {
                let sum = F32x4::load_splat(x.sum.as_ptr().add(at / GROUP));
                lo = lo.sub(scales.minimum.0.mul(sum));
                hi = hi.sub(scales.minimum.1.mul(sum));
            }
        }
    }
    (lo, hi)
}
