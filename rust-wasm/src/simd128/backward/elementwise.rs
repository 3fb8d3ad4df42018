use crate::lanes::F32x4;
use crate::scalar::math::{ERF_A, ERF_P, GELU_TANH};
use crate::simd128::math::{exp_clamped, sigmoid};

/// `to[t] += from[t]` for rows of `width`.
/// # Safety
/// The pointers cover these rows.
pub unsafe fn add_rows(
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
    tokens: usize,
    width: usize,
) {
    for t in 0..tokens {
        add_row(from.add(t * from_stride), to.add(t * to_stride), width);
    }
}

/// `to += from`.
/// # Safety
/// Both point to `width` f32.
#[inline(always)]
pub unsafe fn add_row(from: *const f32, to: *mut f32, width: usize) {
    for c in (0..width).step_by(4) {
        let sum = F32x4::load_first(to.add(c), width - c).add(F32x4::load_first(from.add(c), width - c));
        sum.store_first(to.add(c), width - c);
    }
}

/// `to[c] += sum_t from[t, c]`.
/// # Safety
/// The pointers cover these.
pub unsafe fn add_columns(from: *const f32, stride: usize, to: *mut f32, tokens: usize, width: usize) {
    for c in (0..width).step_by(4) {
        let mut sum = F32x4::splat(0.0);
        for t in 0..tokens {
            sum = sum.add(F32x4::load_first(from.add(t * stride + c), width - c));
        }
        sum.add(F32x4::load_first(to.add(c), width - c)).store_first(to.add(c), width - c);
    }
}

/// `dw[ids[t]] += dy[t]`.
/// # Safety
/// The ids are rows of dw.
pub unsafe fn embedding(ids: *const u32, dy: *const f32, dy_stride: usize, dw: *mut f32, tokens: usize, width: usize) {
    for t in 0..tokens {
        add_row(dy.add(t * dy_stride), dw.add(*ids.add(t) as usize * width), width);
    }
}

/// The derivative of silu, from x and its sigmoid.
#[inline(always)]
pub fn silu_slope(x: F32x4, s: F32x4) -> F32x4 {
    let one = F32x4::splat(1.0);
    s.mul(x.mul(one.sub(s)).add(one))
}

/// `dx += dy silu(gate)`, `dgate += dy x silu'(gate)`; either may be null.
/// # Safety
/// The pointers cover `[tokens, width]` in rows as far apart as their strides.
#[allow(clippy::too_many_arguments)]
pub unsafe fn silu_gate(
    x: *const f32,
    x_stride: usize,
    gate: *const f32,
    gate_stride: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    dgate: *mut f32,
    dgate_stride: usize,
    tokens: usize,
    width: usize,
) {
    for t in 0..tokens {
        for c in (0..width).step_by(4) {
            let count = width - c;
            let g = F32x4::load_first(gate.add(t * gate_stride + c), count);
            let slope = F32x4::load_first(dy.add(t * dy_stride + c), count);
            let s = sigmoid(g);
            if !dx.is_null() {
                let to = dx.add(t * dx_stride + c);
                slope.mul_add(g.mul(s), F32x4::load_first(to, count)).store_first(to, count);
            }
            if !dgate.is_null() {
                let to = dgate.add(t * dgate_stride + c);
                let input = F32x4::load_first(x.add(t * x_stride + c), count);
                slope.mul(input).mul_add(silu_slope(g, s), F32x4::load_first(to, count)).store_first(to, count);
            }
        }
    }
}

/// `dx += dy gelu'(x)`. With f the share of x that gelu lets through, the derivative is `f + x f'`: for the exact form f is the
/// normal distribution and f' its density; for the tanh form `f = sigmoid(2 u(x))`, `f' = 2 u'(x) f (1 - f)`.
/// # Safety
/// The pointers cover `[tokens, width]` in rows as far apart as their strides.
#[allow(clippy::too_many_arguments)]
pub unsafe fn gelu(
    x: *const f32,
    x_stride: usize,
    dy: *const f32,
    dy_stride: usize,
    dx: *mut f32,
    dx_stride: usize,
    tokens: usize,
    width: usize,
    tanh: bool,
) {
    for t in 0..tokens {
        for c in (0..width).step_by(4) {
            let count = width - c;
            let v = F32x4::load_first(x.add(t * x_stride + c), count);
            let slope = if tanh { gelu_tanh_slope(v) } else { gelu_slope(v) };
            let to = dx.add(t * dx_stride + c);
            let dy = F32x4::load_first(dy.add(t * dy_stride + c), count);
            dy.mul_add(slope, F32x4::load_first(to, count)).store_first(to, count);
        }
    }
}

#[inline(always)]
fn gelu_slope(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    let size = x.abs().mul(s(core::f32::consts::FRAC_1_SQRT_2));
    let t = s(1.0).div(size.mul_add(s(ERF_P), s(1.0)));
    let series = ERF_A.iter().rev().fold(s(0.0), |sum, &a| sum.add(s(a)).mul(t));
    let bell = exp_clamped(size.mul(size).neg());
    let half = s(0.5).mul(s(1.0).sub(series.mul(bell)));
    let below = x.select_lt(s(0.0), half.neg(), half).add(s(0.5));
    x.mul(bell).mul_add(s(0.398_942_3), below) // 1 / sqrt(2 pi)
}

#[inline(always)]
fn gelu_tanh_slope(x: F32x4) -> F32x4 {
    let s = F32x4::splat;
    let x2 = x.mul(x);
    let f = sigmoid(x2.mul_add(s(GELU_TANH[1]), s(GELU_TANH[0])).mul(x));
    let turn = x2.mul_add(s(3.0 * GELU_TANH[1]), s(GELU_TANH[0]));
    x.mul(turn).mul(f).mul(s(1.0).sub(f)).add(f)
}
