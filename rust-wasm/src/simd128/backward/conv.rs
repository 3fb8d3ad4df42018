use super::elementwise::silu_slope;
use crate::lanes::F32x4;
use crate::scalar::conv::input_row;
use crate::simd128::math::sigmoid;

/// f32 of working memory of [`causal_conv`].
pub fn scratch_len(tokens: usize, channels: usize) -> usize {
    tokens * channels
}

/// The gradients of [`crate::scalar::conv::causal_conv`]. Row r of the inputs is `history` followed by x; output t reads rows
/// t to t + taps - 1. With `s[t]` the slope before the activation:
///
/// ```text
/// dinput[r] = sum_k w[k] s[r - k]          (+ the gradient to the state, which holds the last taps - 1 rows)
/// dw[k]     = sum_t s[t] input[t + k];     dbias = sum_t s[t]
/// ```
///
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
    let row = |r: usize| input_row(x, x_stride, history, channels, taps, r);
    for c in (0..channels).step_by(4) {
        let count = channels - c;
        let load = |p: *const f32| F32x4::load_first(p.add(c), count);
        let mut sum_bias = F32x4::splat(0.0);
        for t in 0..tokens {
            let mut slope = load(dy.add(t * dy_stride));
            if with_silu {
                let mut y = if bias.is_null() { F32x4::splat(0.0) } else { load(bias) };
                for k in 0..taps {
                    y = load(w.add(k * channels)).mul_add(load(row(t + k)), y);
                }
                slope = slope.mul(silu_slope(y, sigmoid(y)));
            }
            slope.store_first(scratch.add(t * channels + c), count);
            sum_bias = sum_bias.add(slope);
        }
        if !dbias.is_null() {
            sum_bias.add(load(dbias)).store_first(dbias.add(c), count);
        }
        for k in 0..taps {
            let to = dw.add(k * channels);
            let mut sum = load(to);
            for t in 0..tokens {
                sum = load(scratch.add(t * channels)).mul_add(load(row(t + k)), sum);
            }
            sum.store_first(to.add(c), count);
        }
        // From the last row down: the gradient to the state after is read (row r - tokens of it) before that to the state
        // before is written (row r), as r - tokens < r.
        for r in (0..tokens + taps - 1).rev() {
            let mut sum = if r >= tokens { load(gradient.add((r - tokens) * channels)) } else { F32x4::splat(0.0) };
            for k in 0..taps {
                if r >= k && r - k < tokens {
                    sum = load(w.add(k * channels)).mul_add(load(scratch.add((r - k) * channels)), sum);
                }
            }
            if r < taps - 1 {
                sum.store_first(gradient.add(r * channels + c), count);
            } else if !dx.is_null() {
                let to = dx.add((r + 1 - taps) * dx_stride);
                sum.add(load(to)).store_first(to.add(c), count);
            }
        }
    }
}
