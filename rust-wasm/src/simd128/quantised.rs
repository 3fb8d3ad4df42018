//! Matrices of quantised weights.
//!
//! 1. Activations that are all finite meet the weights in dot products of integers: see [`super::integer_product`].
//! 2. Else a tile of weights goes to f32 in L1 and on to the kernel of f32 matrices ([`super::linear`]), so that
//!    infinities and NaN come out as in f32.

use super::integer_product;
use super::linear::{matrix_matrix, Shape};
use crate::blocks::Blocks;
use crate::lanes::F32x4;
use crate::pool::split;
use crate::PANEL;

/// Inputs of a tile of weights: 16 KiB as f32. A multiple of every block.
pub const TILE: usize = 512;

/// See [`crate::scalar::linear::linear`]; w packed by [`pack`], inputs whole blocks.
/// # Safety
/// As there.
pub unsafe fn linear<B: Blocks>(x: *const f32, w: *const u8, bias: *const f32, y: *mut f32, shape: &Shape) {
    // Constants of a trait cannot be passed on as parameters yet.
    let done = if B::SIGNED {
        integer_product::linear::<B, true>(x, w, bias, y, shape)
    } else {
        integer_product::linear::<B, false>(x, w, bias, y, shape)
    };
    if done {
        return;
    }
    split(shape.outputs.div_ceil(PANEL), PANEL * shape.tokens * shape.inputs, |_, from, to| {
        let format = B::prepare();
        let o0 = from * PANEL;
        let bias = if bias.is_null() { bias } else { bias.add(o0) };
        let part = Shape { outputs: (to * PANEL).min(shape.outputs) - o0, ..*shape };
        matrix_matrix::<TILE>(x, bias, y.add(o0), &part, |o, i, width, tile| {
            for at in (0..width).step_by(B::INPUTS) {
                dequantise(format, w.add(block_at::<B>(o0 + o, i + at, shape.inputs)), tile.add(at * PANEL));
            }
        });
    });
}

/// y[t] = w[ids[t]].
/// # Safety
/// As [`crate::scalar::linear::embedding`].
pub unsafe fn embedding<B: Blocks>(ids: *const u32, w: *const u8, y: *mut f32, tokens: usize, inputs: usize) {
    let mut tile = [0f32; TILE * PANEL];
    let format = B::prepare();
    for t in 0..tokens {
        let id = *ids.add(t) as usize;
        for i in (0..inputs).step_by(B::INPUTS) {
            dequantise(format, w.add(block_at::<B>(id, i, inputs)), tile.as_mut_ptr());
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
pub fn block_at<B: Blocks>(output: usize, input: usize, inputs: usize) -> usize {
    (output / PANEL * (inputs / B::INPUTS) + input / B::INPUTS) * B::BYTES
}

/// 8 outputs' blocks to `[INPUTS, 8]`.
#[inline(always)]
unsafe fn dequantise<B: Blocks>(format: B, block: *const u8, to: *mut f32) {
    let factors = format.factors(block);
    for group in 0..B::INPUTS / B::GROUP {
        let scales = format.scales(block, factors, group);
        for k in 0..B::GROUP / 4 {
            let step = group * B::GROUP / 4 + k;
            let (lo, hi) = format.load(block, step - step % B::STRIDE, step % B::STRIDE);
            let column = to.add(4 * step * PANEL);
            for (i, (lo, hi)) in lo.columns().into_iter().zip(hi.columns()).enumerate() {
                let middle = F32x4::splat(B::MIDDLE);
                let (lo, hi) = if B::MIDDLE > 0.0 { (lo.sub(middle), hi.sub(middle)) } else { (lo, hi) };
                let (mut lo, mut hi) = (lo.mul(scales.factor.0), hi.mul(scales.factor.1));
                if let Some((min_lo, min_hi)) = scales.minimum {
                    (lo, hi) = (lo.sub(min_lo), hi.sub(min_hi));
                }
                lo.store(column.add(i * PANEL));
                hi.store(column.add(i * PANEL + 4));
            }
        }
    }
}
