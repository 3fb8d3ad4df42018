//! Matrix products on quantised weights.
//!
//! 1. One token: the activations are rounded to 14 bits, 32 to a scale (what that costs is below 2^-14 of the largest
//!    of the 32, a hundredth of what the weights' own rounding costs), and meet the weights in exact integer dot
//!    products. See [`crate::integers`].
//! 2. Several tokens, and activations that are not finite: a tile of weights goes to f32 in L1 and on to the kernel of
//!    f32 matrices ([`super::linear`]).

use super::linear::{add_store, matrix_matrix, store_part, Shape};
use crate::blocks::Blocks;
use crate::integers::{Dots, Four, I8x16, Sum, FOUR, LARGEST};
use crate::lanes::F32x4;
use crate::PANEL;
use core::mem::MaybeUninit;

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
        // Constants of a trait cannot be passed on as parameters yet.
        return if B::SIGNED {
            matrix_vector::<B, true>(x, w, bias, y, shape.inputs, shape.outputs)
        } else {
            matrix_vector::<B, false>(x, w, bias, y, shape.inputs, shape.outputs)
        };
    }
    let format = B::prepare();
    matrix_matrix::<TILE>(x, bias, y, shape, |o, i, width, tile| {
        for at in (0..width).step_by(B::INPUTS) {
            dequantise(format, w.add(block_at::<B>(o, i + at, shape.inputs)), tile.add(at * PANEL));
        }
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

/// Inputs whose sums are kept at once. A multiple of every block.
const SPAN: usize = 256;
/// Panels that are read side by side, a span of each in turn: processors fetch ahead within a page of memory, for each of
/// several pages at once.
const STREAMS: usize = 8;

/// Activations as whole numbers: x = scale q.
struct Rounded {
    q: [u8; INPUTS / 4 * FOUR],
    scale: [f32; INPUTS / GROUP],
    /// Of the activations that share a scale of the weights, as rounded, times [`Blocks::MIDDLE`] where codes have one.
    sum: [f32; INPUTS / 16],
}

impl Rounded {
    unsafe fn round<B: Blocks, const SIGNED: bool>(&mut self, x: *const f32, inputs: usize) {
        for group in 0..inputs / GROUP {
            let x = x.add(group * GROUP);
            let mut largest = F32x4::splat(0.0);
            for k in 0..GROUP / 4 {
                largest = largest.larger_magnitude(F32x4::load(x.add(4 * k)));
            }
            let largest = largest.largest();
            // What is this small counts as nothing: its reciprocal would be infinite.
            let (scale, inverse) = if largest < 1e-30 { (0.0, 0.0) } else { (largest / LARGEST, LARGEST / largest) };
            self.scale[group] = scale;
            for part in 0..GROUP / B::GROUP {
                let mut sum = Sum::zero();
                for k in part * B::GROUP / 4..(part + 1) * B::GROUP / 4 {
                    let scaled = F32x4::load(x.add(4 * k)).mul(F32x4::splat(inverse));
                    let to = self.q.as_mut_ptr().add((group * GROUP / 4 + k) * FOUR);
                    sum = sum.add(Four::store::<SIGNED>(scaled, to));
                }
                let times = if B::MIDDLE > 0.0 { scale * B::MIDDLE } else { scale };
                self.sum[group * (GROUP / B::GROUP) + part] = times * (sum.total() - 8192 * B::GROUP as i32) as f32;
            }
        }
    }
}

unsafe fn matrix_vector<B: Blocks, const SIGNED: bool>(
    x: *const f32,
    w: *const u8,
    bias: *const f32,
    y: *mut f32,
    inputs: usize,
    outputs: usize,
) {
    let (format, ones) = (B::prepare(), I8x16::constant(&[1; 16]));
    let mut rounded = MaybeUninit::<Rounded>::uninit();
    let rounded = &mut *rounded.as_mut_ptr();
    for i0 in (0..inputs.max(1)).step_by(INPUTS) {
        let width = INPUTS.min(inputs - i0);
        rounded.round::<B, SIGNED>(x.add(i0), width);
        for o in (0..outputs).step_by(STREAMS * PANEL) {
            let panels = STREAMS.min((outputs - o).div_ceil(PANEL));
            let mut sums = [(F32x4::splat(0.0), F32x4::splat(0.0)); STREAMS];
            for i1 in (0..width).step_by(SPAN) {
                let w = w.add(block_at::<B>(o, i0 + i1, inputs));
                let span =
                    Span { x: rounded, from: i1, inputs: SPAN.min(width - i1), row: inputs / B::INPUTS * B::BYTES };
                add_span::<B, SIGNED>(format, ones, w, &span, &mut sums[..panels]);
            }
            for (panel, &(lo, hi)) in sums.iter().enumerate().take(panels) {
                let o = o + panel * PANEL;
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
}

/// What is multiplied at once.
struct Span<'a> {
    x: &'a Rounded,
    from: usize,
    inputs: usize,
    /// Bytes from one panel to the next.
    row: usize,
}

/// Adds the products of a span and of the panels from `w` on to their sums.
#[inline(always)]
unsafe fn add_span<B: Blocks, const SIGNED: bool>(
    format: B,
    ones: I8x16,
    w: *const u8,
    span: &Span,
    sums: &mut [(F32x4, F32x4)],
) {
    // All dot products first, then what they are multiplied by: together they would not fit the registers.
    let mut dots = [const { [const { MaybeUninit::<(F32x4, F32x4)>::uninit() }; STREAMS] }; SPAN / 16];
    // Hidden from the compiler, which would unroll the loop, compute one sum of products after the other, and keep 16
    // vectors of weights until then.
    let stride = core::hint::black_box(B::STRIDE);
    for (group, dots) in dots.iter_mut().take(span.inputs / B::GROUP).enumerate() {
        let i = group * B::GROUP;
        let x = span.x.q.as_ptr().add((span.from + i) / 4 * FOUR);
        for (panel, dots) in dots.iter_mut().take(sums.len()).enumerate() {
            let block = w.add(panel * span.row + i / B::INPUTS * B::BYTES);
            let mut q = x;
            let (mut dots_lo, mut dots_hi) = (Dots::zero(), Dots::zero());
            let mut step = i % B::INPUTS / 4;
            let mut done = 0;
            while done < B::GROUP / 4 {
                for k in 0..B::STRIDE {
                    let four = Four::load(q.add(k * FOUR));
                    let (w_lo, w_hi) = format.load(block, step, k);
                    dots_lo = dots_lo.add::<SIGNED>(w_lo, four, ones);
                    dots_hi = dots_hi.add::<SIGNED>(w_hi, four, ones);
                }
                q = q.add(B::STRIDE * FOUR);
                step += B::STRIDE;
                done += stride;
            }
            dots.write((dots_lo.finish::<SIGNED>(), dots_hi.finish::<SIGNED>()));
        }
    }
    for (panel, (lo, hi)) in sums.iter_mut().enumerate() {
        for i1 in (0..span.inputs).step_by(B::INPUTS) {
            let block = w.add(panel * span.row + i1 / B::INPUTS * B::BYTES);
            let factors = format.factors(block);
            for group in 0..B::INPUTS / B::GROUP {
                let i = span.from + i1 + group * B::GROUP;
                let (mut sum_lo, mut sum_hi) =
                    dots.get_unchecked(i1 / B::GROUP + group).get_unchecked(panel).assume_init();
                let scales = format.scales(block, factors, group);
                let scale = F32x4::load_splat(span.x.scale.as_ptr().add(i / GROUP));
                let shift = F32x4::load_splat(span.x.sum.as_ptr().add(i / B::GROUP));
                (sum_lo, sum_hi) = (sum_lo.mul(scale), sum_hi.mul(scale));
                if B::MIDDLE > 0.0 {
                    (sum_lo, sum_hi) = (sum_lo.sub(shift), sum_hi.sub(shift));
                }
                *lo = lo.add(sum_lo.mul(scales.factor.0));
                *hi = hi.add(sum_hi.mul(scales.factor.1));
                if let Some((min_lo, min_hi)) = scales.minimum {
                    *lo = lo.sub(min_lo.mul(shift));
                    *hi = hi.sub(min_hi.mul(shift));
                }
            }
        }
    }
}
