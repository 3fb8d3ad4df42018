//! Matrix products on quantised weights in integers.
//!
//! The activations are rounded to 14 bits, 32 to a scale (what that costs is below 2^-14 of the largest of the 32, a
//! hundredth of what the weights' own rounding costs), and meet the weights in exact dot products: see
//! [`crate::integers`]. What follows is the same for one token and for several, so a row has the same bits however many
//! come with it.
//!
//! ```text
//! round x
//! one token:    for 8 panels: for i: y[panel] += w[panel][i] * x[i]
//! more tokens:  for block of 128 tokens: for block of 512 inputs: for panel: for 2 tokens: for i: ...
//! ```
//!
//! 1. One token is bound by memory. Processors fetch ahead within a page of memory, and in several pages at once: eight
//!    panels are read side by side, a group of inputs of each in turn.
//! 2. Several tokens are bound by arithmetic: a panel's codes and scales for a block of inputs are unpacked once for 128
//!    tokens, and 2 tokens x 8 outputs stay in 8 registers over a group of inputs.

use super::linear::Shape;
use super::quantised::{block_at, TILE};
use crate::blocks::{Blocks, Scales};
use crate::integers::{Dots, Four, I8x16, Sum, FOUR, LARGEST};
use crate::lanes::F32x4;
use crate::pool::split;
use crate::PANEL;
use core::hint::black_box;
use core::mem::MaybeUninit;

/// Activations that share a scale.
const GROUP: usize = 32;
/// Tokens of a block: their activations, 128 KiB, stay in L2.
const TOKENS: usize = 128;
/// Inputs that are rounded at once for one token; longer rows go on in y. A multiple of every block.
const INPUTS: usize = 4096;
/// Inputs whose sums are kept at once. A multiple of every block.
const SPAN: usize = 256;
/// Panels that are read side by side.
const STREAMS: usize = 8;

/// y = x w^T + bias, where all activations are finite; else false, and y holds nothing of use.
/// # Safety
/// As [`crate::scalar::linear::linear`]; w packed by [`super::quantised::pack`], inputs whole blocks.
pub unsafe fn linear<B: Blocks, const SIGNED: bool>(
    x: *const f32,
    w: *const u8,
    bias: *const f32,
    y: *mut f32,
    shape: &Shape,
) -> bool {
    let &Shape { x_stride, y_stride, tokens, inputs, outputs } = shape;
    // Filled before it is read.
    let mut rounded = MaybeUninit::<Rounded>::uninit();
    let rounded = &mut *rounded.as_mut_ptr();
    let widest = if tokens == 1 { INPUTS } else { TILE };
    for t0 in (0..tokens).step_by(TOKENS) {
        let tokens = TOKENS.min(tokens - t0);
        for i0 in (0..inputs.max(1)).step_by(widest) {
            let width = widest.min(inputs - i0);
            for t in 0..tokens {
                if !rounded.round::<B, SIGNED>(x.add((t0 + t) * x_stride + i0), t, width) {
                    return false;
                }
            }
            let block = Block {
                w,
                x: rounded,
                y: y.add(t0 * y_stride),
                bias: if i0 + width == inputs { bias } else { core::ptr::null() },
                y_stride,
                i0,
                width,
                tokens,
                inputs,
                outputs,
            };
            // Threads take whole panels of outputs, for one token as many as are read side by side.
            let panels = outputs.div_ceil(PANEL);
            let unit = if tokens == 1 { STREAMS } else { 1 };
            split(panels.div_ceil(unit), unit * PANEL * tokens * width, |_, from, to| {
                let (from, to) = (from * unit, (to * unit).min(panels));
                if tokens == 1 {
                    block.one_token::<B, SIGNED>(from, to)
                } else {
                    block.tokens::<B, SIGNED>(from, to)
                }
            });
        }
    }
    true
}

/// Activations as whole numbers, x = scale q, of one token or of a block.
struct Rounded {
    /// `[tokens, inputs / 4]` of [`Four`].
    q: [u8; TOKENS * TILE / 4 * FOUR],
    /// `[tokens, inputs / GROUP]`.
    scale: [f32; TOKENS * TILE / GROUP],
    /// `[tokens, inputs / B::GROUP]`: of the activations that share a scale of the weights, as rounded, times
    /// [`Blocks::MIDDLE`] where codes have one.
    sum: [f32; TOKENS * TILE / 16],
}

impl Rounded {
    /// Row t, of `inputs`; false where an activation is not finite.
    unsafe fn round<B: Blocks, const SIGNED: bool>(&mut self, x: *const f32, t: usize, inputs: usize) -> bool {
        let q = self.q.as_mut_ptr().add(t * inputs / 4 * FOUR);
        let scales = self.scale.as_mut_ptr().add(t * inputs / GROUP);
        let sums = self.sum.as_mut_ptr().add(t * inputs / B::GROUP);
        for group in 0..inputs / GROUP {
            let x = x.add(group * GROUP);
            let mut largest = F32x4::splat(0.0);
            for k in 0..GROUP / 4 {
                largest = largest.larger_magnitude(F32x4::load(x.add(4 * k)));
            }
            let largest = largest.largest();
            if !largest.is_finite() {
                return false;
            }
            // What is this small counts as nothing: its reciprocal would be infinite.
            let (scale, inverse) = if largest < 1e-30 { (0.0, 0.0) } else { (largest / LARGEST, LARGEST / largest) };
            *scales.add(group) = scale;
            for part in 0..GROUP / B::GROUP {
                let mut sum = Sum::zero();
                for k in part * B::GROUP / 4..(part + 1) * B::GROUP / 4 {
                    let scaled = F32x4::load(x.add(4 * k)).mul(F32x4::splat(inverse));
                    sum = sum.add(Four::store::<SIGNED>(scaled, q.add((group * GROUP / 4 + k) * FOUR)));
                }
                let times = if B::MIDDLE > 0.0 { scale * B::MIDDLE } else { scale };
                *sums.add(group * (GROUP / B::GROUP) + part) = times * (sum.total() - 8192 * B::GROUP as i32) as f32;
            }
        }
        true
    }
}

/// One token or a block of them, and a block of inputs.
struct Block<'a> {
    w: *const u8,
    x: &'a Rounded,
    /// Of the first token.
    y: *mut f32,
    /// Null until the last inputs.
    bias: *const f32,
    y_stride: usize,
    i0: usize,
    width: usize,
    tokens: usize,
    /// Of the whole matrix.
    inputs: usize,
    outputs: usize,
}

type Pair = (F32x4, F32x4);

/// What the dot products of a group add to the sums of 8 outputs. Multiplied and added, never fused: the same bits in all
/// builds.
#[inline(always)]
unsafe fn add_group<B: Blocks>(sums: Pair, dots: Pair, scales: &Scales, scale: *const f32, shift: *const f32) -> Pair {
    let (scale, shift) = (F32x4::load_splat(scale), F32x4::load_splat(shift));
    let (mut lo, mut hi) = (dots.0.mul(scale), dots.1.mul(scale));
    if B::MIDDLE > 0.0 {
        (lo, hi) = (lo.sub(shift), hi.sub(shift));
    }
    (lo, hi) = (sums.0.add(lo.mul(scales.factor.0)), sums.1.add(hi.mul(scales.factor.1)));
    if let Some((min_lo, min_hi)) = scales.minimum {
        (lo, hi) = (lo.sub(min_lo.mul(shift)), hi.sub(min_hi.mul(shift)));
    }
    (lo, hi)
}

impl Block<'_> {
    /// The sums of 8 outputs of token t so far.
    unsafe fn start(&self, t: usize, o: usize) -> Pair {
        if self.i0 == 0 {
            return (F32x4::splat(0.0), F32x4::splat(0.0));
        }
        let (y, left) = (self.y.add(t * self.y_stride + o), self.outputs - o);
        (F32x4::load_first(y, left), if left > 4 { F32x4::load_first(y.add(4), left - 4) } else { F32x4::splat(0.0) })
    }

    unsafe fn store(&self, t: usize, o: usize, (mut lo, mut hi): Pair) {
        let (y, left) = (self.y.add(t * self.y_stride + o), self.outputs - o);
        if !self.bias.is_null() {
            lo = lo.add(F32x4::load_first(self.bias.add(o), left));
        }
        lo.store_first(y, left);
        if left > 4 {
            if !self.bias.is_null() {
                hi = hi.add(F32x4::load_first(self.bias.add(o + 4), left - 4));
            }
            hi.store_first(y.add(4), left - 4);
        }
    }

    /// Panels `from` to `to` for one token.
    unsafe fn one_token<B: Blocks, const SIGNED: bool>(&self, from: usize, to: usize) {
        let (format, ones) = (B::prepare(), I8x16::constant(&[1; 16]));
        for first in (from..to).step_by(STREAMS) {
            let panels = STREAMS.min(to - first);
            let mut sums = [(F32x4::splat(0.0), F32x4::splat(0.0)); STREAMS];
            for (panel, sums) in sums.iter_mut().enumerate().take(panels) {
                *sums = self.start(0, (first + panel) * PANEL);
            }
            for i in (0..self.width).step_by(SPAN) {
                self.add_span::<B, SIGNED>(format, ones, first * PANEL, i, &mut sums[..panels]);
            }
            for (panel, &sums) in sums.iter().enumerate().take(panels) {
                self.store(0, (first + panel) * PANEL, sums);
            }
        }
    }

    /// Adds the products of inputs from `from` on, at most [`SPAN`], and of the panels from output `o` on to their sums.
    #[inline(always)]
    unsafe fn add_span<B: Blocks, const SIGNED: bool>(
        &self,
        format: B,
        ones: I8x16,
        o: usize,
        from: usize,
        sums: &mut [Pair],
    ) {
        let inputs = SPAN.min(self.width - from);
        let w = self.w.add(block_at::<B>(o, self.i0 + from, self.inputs));
        let row = self.inputs / B::INPUTS * B::BYTES;
        // All dot products first, then what they are multiplied by: together they would not fit the registers.
        let mut dots = [const { [const { MaybeUninit::<Pair>::uninit() }; STREAMS] }; SPAN / 16];
        // Hidden from the compiler, which would unroll the loop, compute one sum of products after the other, and keep 16
        // vectors of weights until then.
        let stride = black_box(B::STRIDE);
        for (group, dots) in dots.iter_mut().take(inputs / B::GROUP).enumerate() {
            let i = group * B::GROUP;
            let x = self.x.q.as_ptr().add((from + i) / 4 * FOUR);
            for (panel, dots) in dots.iter_mut().take(sums.len()).enumerate() {
                let block = w.add(panel * row + i / B::INPUTS * B::BYTES);
                let mut q = x;
                let (mut dots_lo, mut dots_hi) = (Dots::from(Sum::zero()), Dots::from(Sum::zero()));
                let (mut weights_lo, mut weights_hi) = (Sum::zero(), Sum::zero());
                let mut step = i % B::INPUTS / 4;
                let mut done = 0;
                while done < B::GROUP / 4 {
                    for k in 0..B::STRIDE {
                        let four = Four::load(q.add(k * FOUR));
                        let (w_lo, w_hi) = format.load(block, step, k);
                        dots_lo = dots_lo.add::<SIGNED>(w_lo, four);
                        dots_hi = dots_hi.add::<SIGNED>(w_hi, four);
                        if SIGNED {
                            weights_lo = weights_lo.add_weights(w_lo, ones);
                            weights_hi = weights_hi.add_weights(w_hi, ones);
                        }
                    }
                    q = q.add(B::STRIDE * FOUR);
                    step += B::STRIDE;
                    done += stride;
                }
                if SIGNED {
                    dots_lo = dots_lo.plus(weights_lo.offset());
                    dots_hi = dots_hi.plus(weights_hi.offset());
                }
                dots.write((dots_lo.finish::<SIGNED>(), dots_hi.finish::<SIGNED>()));
            }
        }
        for (panel, sums) in sums.iter_mut().enumerate() {
            for i1 in (0..inputs).step_by(B::INPUTS) {
                let block = w.add(panel * row + i1 / B::INPUTS * B::BYTES);
                let factors = format.factors(block);
                for group in 0..B::INPUTS / B::GROUP {
                    let i = from + i1 + group * B::GROUP;
                    let dots = dots.get_unchecked(i1 / B::GROUP + group).get_unchecked(panel).assume_init();
                    let scales = format.scales(block, factors, group);
                    let (scale, shift) = (self.x.scale.as_ptr().add(i / GROUP), self.x.sum.as_ptr().add(i / B::GROUP));
                    *sums = add_group::<B>(*sums, dots, &scales, scale, shift);
                }
            }
        }
    }

    /// Panels `from` to `to` for a block of tokens.
    unsafe fn tokens<B: Blocks, const SIGNED: bool>(&self, from: usize, to: usize) {
        let format = B::prepare();
        let mut tile = MaybeUninit::<Tile>::uninit();
        let tile = &mut *tile.as_mut_ptr();
        for o in (from * PANEL..to * PANEL).step_by(PANEL) {
            tile.unpack::<B, SIGNED>(format, self.w.add(block_at::<B>(o, self.i0, self.inputs)), self.width);
            let mut t = 0;
            while t + 2 <= self.tokens {
                self.tokens_x_panel::<B, 2, SIGNED>(tile, t, o);
                t += 2;
            }
            if t < self.tokens {
                self.tokens_x_panel::<B, 1, SIGNED>(tile, t, o);
            }
        }
    }

    /// N tokens from t on.
    #[inline(always)]
    unsafe fn tokens_x_panel<B: Blocks, const N: usize, const SIGNED: bool>(&self, tile: &Tile, t: usize, o: usize) {
        let mut sums: [Pair; N] = [(F32x4::splat(0.0), F32x4::splat(0.0)); N];
        for (n, sums) in sums.iter_mut().enumerate() {
            *sums = self.start(t + n, o);
        }
        let row = self.width / 4 * FOUR;
        let x = self.x.q.as_ptr().add(t * row);
        let scale = self.x.scale.as_ptr().add(t * self.width / GROUP);
        let shift = self.x.sum.as_ptr().add(t * self.width / B::GROUP);
        // As above.
        let stride = black_box(1);
        for group in 0..self.width / B::GROUP {
            let offset = (tile.offset(group, 0), tile.offset(group, 4));
            let mut dots = [(Dots::from(offset.0), Dots::from(offset.1)); N];
            let mut step = group * B::GROUP / 4;
            let end = step + B::GROUP / 4;
            while step < end {
                let (w_lo, w_hi) = tile.codes(step);
                for (n, dots) in dots.iter_mut().enumerate() {
                    let four = Four::load(x.add(n * row + step * FOUR));
                    dots.0 = dots.0.add::<SIGNED>(w_lo, four);
                    dots.1 = dots.1.add::<SIGNED>(w_hi, four);
                }
                step += stride;
            }
            let scales = tile.scales::<B>(group);
            for (n, (sums, dots)) in sums.iter_mut().zip(dots).enumerate() {
                let scale = scale.add(n * self.width / GROUP + group * B::GROUP / GROUP);
                let shift = shift.add(n * self.width / B::GROUP + group);
                let dots = (dots.0.finish::<SIGNED>(), dots.1.finish::<SIGNED>());
                *sums = add_group::<B>(*sums, dots, &scales, scale, shift);
            }
        }
        for (n, &sums) in sums.iter().enumerate() {
            self.store(t + n, o, sums);
        }
    }
}

/// A panel's weights for a block of inputs, unpacked.
struct Tile {
    /// Per step: the codes of outputs 0 to 3, then of 4 to 7.
    codes: [[u8; 32]; TILE / 4],
    /// Per group, of 8 outputs.
    factor: [[f32; PANEL]; TILE / 16],
    minimum: [[f32; PANEL]; TILE / 16],
    offset: [[i32; PANEL]; TILE / 16],
}

impl Tile {
    unsafe fn unpack<B: Blocks, const SIGNED: bool>(&mut self, format: B, w: *const u8, width: usize) {
        let ones = I8x16::constant(&[1; 16]);
        for i in (0..width).step_by(B::INPUTS) {
            let block = w.add(i / B::INPUTS * B::BYTES);
            let factors = format.factors(block);
            for part in 0..B::INPUTS / B::GROUP {
                let group = i / B::GROUP + part;
                let scales = format.scales(block, factors, part);
                store(scales.factor, self.factor.as_mut_ptr().add(group));
                if let Some(minimum) = scales.minimum {
                    store(minimum, self.minimum.as_mut_ptr().add(group));
                }
                let (mut weights_lo, mut weights_hi) = (Sum::zero(), Sum::zero());
                for step in part * B::GROUP / 4..(part + 1) * B::GROUP / 4 {
                    let (lo, hi) = format.load(block, step - step % B::STRIDE, step % B::STRIDE);
                    let to = self.codes.as_mut_ptr().add(i / 4 + step) as *mut u8;
                    lo.store(to);
                    hi.store(to.add(16));
                    if SIGNED {
                        weights_lo = weights_lo.add_weights(lo, ones);
                        weights_hi = weights_hi.add_weights(hi, ones);
                    }
                }
                let to = self.offset.as_mut_ptr().add(group) as *mut i32;
                weights_lo.offset().store(to);
                weights_hi.offset().store(to.add(4));
            }
        }
    }

    #[inline(always)]
    unsafe fn codes(&self, step: usize) -> (I8x16, I8x16) {
        let codes = self.codes.as_ptr().add(step) as *const u8;
        (I8x16::load(codes), I8x16::load(codes.add(16)))
    }

    #[inline(always)]
    unsafe fn offset(&self, group: usize, output: usize) -> Sum {
        Sum::load((self.offset.as_ptr().add(group) as *const i32).add(output))
    }

    #[inline(always)]
    unsafe fn scales<B: Blocks>(&self, group: usize) -> Scales {
        Scales {
            factor: load(self.factor.as_ptr().add(group)),
            minimum: if B::MINIMA { Some(load(self.minimum.as_ptr().add(group))) } else { None },
        }
    }
}

#[inline(always)]
unsafe fn load(p: *const [f32; PANEL]) -> Pair {
    (F32x4::load(p as *const f32), F32x4::load((p as *const f32).add(4)))
}

#[inline(always)]
unsafe fn store((lo, hi): Pair, p: *mut [f32; PANEL]) {
    lo.store(p as *mut f32);
    hi.store((p as *mut f32).add(4));
}
