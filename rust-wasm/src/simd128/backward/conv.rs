//! The gradient of the causal convolution. Row r of the inputs is `history` followed by x; output t reads rows t to
//! t + taps - 1. With `s[t]` the slope before the activation:
//!
//! ```text
//! dinput[r] = sum_k w[k] s[r - k]          (+ the gradient to the state, which holds the last taps - 1 rows)
//! dw[k]     = sum_t s[t] input[t + k];     dbias = sum_t s[t]
//! ```
//!
//! 1. 16 channels at once, a cache line of each row, copied together first: rows of x lie a power of two apart, which
//!    few lines of a cache may, and each is read several times.

use super::elementwise::silu_slope;
use crate::lanes::F32x4;
use crate::scalar::conv::input_row;
use crate::simd128::math::sigmoid;

/// Channels at once.
const GROUP: usize = 16;
const VECTORS: usize = GROUP / 4;
type Row = [F32x4; VECTORS];

/// f32 of working memory of [`causal_conv`].
pub fn scratch_len(tokens: usize, taps: usize) -> usize {
    GROUP * (2 * tokens + 2 * taps)
}

/// `w` and `dw` are `[taps, channels]`; `history` and `gradient` `[taps - 1, channels]`, the gradient in and out. dx, dw and
/// dbias are added to; dx and dbias may be null.
/// # Safety
/// The pointers cover what is said; `scratch` points to [`scratch_len`] f32.
#[allow(clippy::too_many_arguments)]
pub unsafe fn causal_conv(
    x: *const f32,
    x_stride: usize,
    w: *const f32,
    bias: *const f32,
    history: *const f32,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dw: *mut f32,
    dbias: *mut f32,
    gradient: *mut f32,
    tokens: usize,
    channels: usize,
    taps: usize,
    with_silu: bool,
    scratch: *mut f32,
) {
    // [taps - 1 + tokens, GROUP], [tokens, GROUP], [taps, GROUP].
    let input = scratch;
    let slopes = input.add(GROUP * (taps - 1 + tokens));
    let weights = slopes.add(GROUP * tokens);
    for c in (0..channels).step_by(GROUP) {
        let count = channels - c;
        for r in 0..taps - 1 + tokens {
            store(load_first(input_row(x, x_stride, history, channels, taps, r).add(c), count), input.add(GROUP * r));
        }
        for k in 0..taps {
            store(load_first(w.add(k * channels + c), count), weights.add(GROUP * k));
        }
        let offset = if bias.is_null() { zero() } else { load_first(bias.add(c), count) };
        let mut sum_bias = zero();
        for t in 0..tokens {
            let mut slope = load_first(dy.add(t * dy_stride + c), count);
            if with_silu {
                let mut y = offset;
                for k in 0..taps {
                    y = mul_add(load(weights.add(GROUP * k)), load(input.add(GROUP * (t + k))), y);
                }
                slope = each(|v| slope[v].mul(silu_slope(y[v], sigmoid(y[v]))));
            }
            store(slope, slopes.add(GROUP * t));
            sum_bias = each(|v| sum_bias[v].add(slope[v]));
        }
        if !dbias.is_null() {
            let old = load_first(dbias.add(c), count);
            store_first(each(|v| sum_bias[v].add(old[v])), dbias.add(c), count);
        }
        for k in 0..taps {
            let to = dw.add(k * channels + c);
            let mut sum = load_first(to, count);
            for t in 0..tokens {
                sum = mul_add(load(slopes.add(GROUP * t)), load(input.add(GROUP * (t + k))), sum);
            }
            store_first(sum, to, count);
        }
        // From the last row down: the gradient to the state after is read (row r - tokens of it) before that to the state
        // before is written (row r), as r - tokens < r.
        for r in (0..tokens + taps - 1).rev() {
            let mut sum =
                if r >= tokens { load_first(gradient.add((r - tokens) * channels + c), count) } else { zero() };
            for k in (r + 1).saturating_sub(tokens)..taps.min(r + 1) {
                sum = mul_add(load(weights.add(GROUP * k)), load(slopes.add(GROUP * (r - k))), sum);
            }
            if r < taps - 1 {
                store_first(sum, gradient.add(r * channels + c), count);
            } else if !dx.is_null() {
                let to = dx.add((r + 1 - taps) * dx_stride + c);
                let old = load_first(to, count);
                store_first(each(|v| sum[v].add(old[v])), to, count);
            }
        }
    }
}

#[inline(always)]
fn each(f: impl Fn(usize) -> F32x4) -> Row {
    core::array::from_fn(f)
}
#[inline(always)]
fn zero() -> Row {
    [F32x4::splat(0.0); VECTORS]
}
#[inline(always)]
fn mul_add(a: Row, b: Row, c: Row) -> Row {
    each(|v| a[v].mul_add(b[v], c[v]))
}
#[inline(always)]
unsafe fn load(p: *const f32) -> Row {
    each(|v| F32x4::load(p.add(4 * v)))
}
#[inline(always)]
unsafe fn store(row: Row, p: *mut f32) {
    for (v, value) in row.into_iter().enumerate() {
        value.store(p.add(4 * v));
    }
}
/// The first `count` of a row, zeros after them.
#[inline(always)]
unsafe fn load_first(p: *const f32, count: usize) -> Row {
    if count >= GROUP {
        return load(p);
    }
    each(|v| if 4 * v < count { F32x4::load_first(p.add(4 * v), count - 4 * v) } else { F32x4::splat(0.0) })
}
#[inline(always)]
unsafe fn store_first(row: Row, p: *mut f32, count: usize) {
    if count >= GROUP {
        return store(row, p);
    }
    for (v, value) in row.into_iter().enumerate().filter(|(v, _)| 4 * v < count) {
        value.store_first(p.add(4 * v), count - 4 * v);
    }
}
