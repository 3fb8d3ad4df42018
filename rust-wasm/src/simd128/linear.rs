//! Matrix products on packed weights.
//!
//! ```text
//! one token:    for panel: for i: y[panel] += w[panel][i] * x[i]
//! more tokens:  a product of matrices: see [`super::tile`]
//! ```
//!
//! 1. One token is bound by memory: the weights stream through once, and four inputs go into separate sums (8 vectors),
//!    because one addition takes 3 to 4 cycles and two can start per cycle.
//! 2. Several tokens are bound by arithmetic. A 16-bit tile of weights is converted once per block of tokens.

use super::tile::{product, Product, Start};
use crate::format::Format;
use crate::lanes::F32x4;
use crate::PANEL;

const INPUTS: usize = 384;

/// See [`crate::scalar::linear::linear`].
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub unsafe fn linear<F: Format>(
    x: *const f32,
    x_stride: usize,
    w: *const F::Bits,
    bias: *const f32,
    y: *mut f32,
    y_stride: usize,
    tokens: usize,
    inputs: usize,
    outputs: usize,
) {
    if tokens == 1 {
        matrix_vector::<F>(x, w, bias, y, inputs, outputs);
        return;
    }
    let decoder = F::decoder();
    let scale = power_of_two(F::EXPONENT);
    let shape = Shape { x_stride, y_stride, tokens, inputs, outputs };
    matrix_matrix::<INPUTS>(x, bias, y, &shape, |o, i0, width, tile| {
        let column = w.add(o * inputs + i0 * PANEL);
        for i in 0..width {
            let (lo, hi) = load8_exact::<F>(decoder, scale, column.add(i * PANEL));
            lo.store(tile.add(i * PANEL));
            hi.store(tile.add(i * PANEL + 4));
        }
    });
}

/// What a product is of: x `[tokens, inputs]` in rows `x_stride` apart, y `[tokens, outputs]`.
pub struct Shape {
    pub x_stride: usize,
    pub y_stride: usize,
    pub tokens: usize,
    pub inputs: usize,
    pub outputs: usize,
}

/// The product for several tokens. `fill(o, i, width, tile)` makes f32 of the weights of outputs `o .. o + 8` and inputs
/// `i .. i + width`, as `[width, 8]`; `i` is a multiple of `WIDTH`, and `width` at most that.
/// # Safety
/// As [`linear`], with `fill` for the weights.
#[inline(always)]
pub unsafe fn matrix_matrix<const WIDTH: usize>(
    x: *const f32,
    bias: *const f32,
    y: *mut f32,
    shape: &Shape,
    fill: impl Fn(usize, usize, usize, *mut f32),
) {
    let &Shape { x_stride, y_stride, tokens, inputs, outputs } = shape;
    let start = if bias.is_null() { Start::Zero } else { Start::Bias(bias) };
    let all = Product { y, y_stride, rows: tokens, inner: inputs, columns: outputs, start };
    product::<WIDTH>(&all, |t, _, i, _| (x.add(t * x_stride + i), x_stride), fill);
}

#[inline(always)]
fn power_of_two(exponent: u32) -> F32x4 {
    F32x4::splat(f32::from_bits((127 + exponent) << 23))
}

#[inline(always)]
unsafe fn load8_exact<F: Format>(decoder: F::Decoder, scale: F32x4, p: *const F::Bits) -> (F32x4, F32x4) {
    let (lo, hi) = F::load8(decoder, p);
    if F::EXPONENT == 0 {
        return (lo, hi);
    }
    (lo.mul(scale), hi.mul(scale))
}

/// lo and hi plus what `start` points to, unless it is null.
/// # Safety
/// The pointers cover 8 f32.
#[inline(always)]
pub unsafe fn add_store(lo: F32x4, hi: F32x4, start: *const f32, to: *mut f32) {
    if start.is_null() {
        lo.store(to);
        hi.store(to.add(4));
    } else {
        lo.add(F32x4::load(start)).store(to);
        hi.add(F32x4::load(start.add(4))).store(to.add(4));
    }
}

/// The last panel: only `count` of its 8 outputs exist.
/// # Safety
/// The pointers cover `count` f32.
pub unsafe fn store_part(lo: F32x4, hi: F32x4, start: *const f32, to: *mut f32, count: usize) {
    let mut all = [0f32; PANEL];
    lo.store(all.as_mut_ptr());
    hi.store(all.as_mut_ptr().add(4));
    for (k, &value) in all.iter().take(count).enumerate() {
        *to.add(k) = if start.is_null() { value } else { value + *start.add(k) };
    }
}

/// Inputs of a matrix-vector product whose activations are scaled beforehand: 16 KiB on the stack.
const VECTOR: usize = 4096;
/// Activations below this may be multiplied by 2^100, and sums of their products with 16-bit weights stay finite.
const LARGE: f32 = 65536.0;

/// Where the format has a power of two, it goes into the activations (2^100) and the sums (the rest), once each; where
/// that could overflow, into each weight.
unsafe fn matrix_vector<F: Format>(
    x: *const f32,
    w: *const F::Bits,
    bias: *const f32,
    y: *mut f32,
    inputs: usize,
    outputs: usize,
) {
    if F::EXPONENT == 0 {
        return matrix_vector_scaled::<F, false>(x, w, bias, y, inputs, outputs, 0);
    }
    // A NaN counts as small: it comes out as NaN either way.
    if inputs > VECTOR || (0..inputs).any(|i| (*x.add(i)).abs() >= LARGE) {
        return matrix_vector_scaled::<F, true>(x, w, bias, y, inputs, outputs, 0);
    }
    let scale = f32::from_bits((127 + 100) << 23);
    let mut scaled = [0f32; VECTOR];
    for (i, value) in scaled.iter_mut().take(inputs).enumerate() {
        *value = *x.add(i) * scale;
    }
    matrix_vector_scaled::<F, false>(scaled.as_ptr(), w, bias, y, inputs, outputs, F::EXPONENT.saturating_sub(100))
}

/// `EXACT`: each weight times its format's power of two; else the sums times 2^`shift`.
unsafe fn matrix_vector_scaled<F: Format, const EXACT: bool>(
    x: *const f32,
    w: *const F::Bits,
    bias: *const f32,
    y: *mut f32,
    inputs: usize,
    outputs: usize,
    shift: u32,
) {
    let decoder = F::decoder();
    let scale = power_of_two(F::EXPONENT);
    let column = |i: usize, panel: *const F::Bits| {
        let at = panel.add(i * PANEL);
        let w = if EXACT { load8_exact::<F>(decoder, scale, at) } else { F::load8(decoder, at) };
        (F32x4::load_splat(x.add(i)), w)
    };
    for o in (0..outputs).step_by(PANEL) {
        let panel = w.add(o * inputs);
        let mut lo = [F32x4::splat(0.0); 4];
        let mut hi = [F32x4::splat(0.0); 4];
        let mut i = 0;
        while i + 4 <= inputs {
            for k in 0..4 {
                let (xi, (w0, w1)) = column(i + k, panel);
                lo[k] = xi.mul_add(w0, lo[k]);
                hi[k] = xi.mul_add(w1, hi[k]);
            }
            i += 4;
        }
        while i < inputs {
            let (xi, (w0, w1)) = column(i, panel);
            lo[0] = xi.mul_add(w0, lo[0]);
            hi[0] = xi.mul_add(w1, hi[0]);
            i += 1;
        }
        let lo = lo[0].add(lo[1]).add(lo[2].add(lo[3])).mul(power_of_two(shift));
        let hi = hi[0].add(hi[1]).add(hi[2].add(hi[3])).mul(power_of_two(shift));
        let start = if bias.is_null() { bias } else { bias.add(o) };
        if outputs - o >= PANEL {
            add_store(lo, hi, start, y.add(o));
        } else {
            store_part(lo, hi, start, y.add(o), outputs - o);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::format::{Bf16, Format, RaisedF16, F16, F32};
    use crate::{pack::pack, scalar, PANEL};

    fn compare<F: Format>(encode: impl Fn(f32) -> F::Bits, tokens: usize, inputs: usize, outputs: usize) {
        let value = |i: usize| ((i * 37 + 11) % 101) as f32 / 50.0 - 1.0;
        let x: Vec<f32> = (0..tokens * (inputs + 3)).map(value).collect();
        let rows: Vec<F::Bits> = (0..outputs * inputs).map(|i| encode(value(i + 5))).collect();
        let mut w = vec![encode(0.0); outputs.div_ceil(PANEL) * PANEL * inputs];
        unsafe { pack::<F>(rows.as_ptr(), 0, rows.len(), inputs, w.as_mut_ptr()) };
        let bias: Vec<f32> = (0..outputs).map(value).collect();
        for b in [core::ptr::null(), bias.as_ptr()] {
            let mut got = vec![f32::NAN; tokens * outputs];
            let mut expected = got.clone();
            unsafe {
                let (gp, ep) = (got.as_mut_ptr(), expected.as_mut_ptr());
                super::linear::<F>(x.as_ptr(), inputs + 3, w.as_ptr(), b, gp, outputs, tokens, inputs, outputs);
                scalar::linear::linear::<F>(
                    x.as_ptr(),
                    inputs + 3,
                    w.as_ptr(),
                    b,
                    ep,
                    outputs,
                    tokens,
                    inputs,
                    outputs,
                );
            }
            for (g, e) in got.iter().zip(&expected) {
                assert!((g - e).abs() <= 1e-6 * inputs as f32 + 1e-6, "{tokens}x{inputs}x{outputs}: {g} {e}");
            }
        }
    }

    #[test]
    fn simd_equals_scalar_within_1e_6_per_input() {
        for tokens in [1, 2, 3, 4, 5, 7, 8, 129] {
            for inputs in [1, 3, 4, 5, 17, 385] {
                for outputs in [1, 7, 8, 9, 33] {
                    compare::<F32>(|v| v, tokens, inputs, outputs);
                    compare::<Bf16>(|v| (v.to_bits() >> 16) as u16, tokens, inputs, outputs);
                }
            }
        }
        // 1.5, -0.5 and a subnormal as binary16.
        let f16 = |v| match v {
            0.5.. => 0x3e00,
            ..-0.5 => 0xb800,
            _ => 0x0001,
        };
        // The last is more than is scaled beforehand.
        for (tokens, inputs, outputs) in [(1, 50, 19), (6, 50, 19), (1, 385, 8), (1, super::VECTOR + 1, 9)] {
            compare::<F16>(f16, tokens, inputs, outputs);
            compare::<RaisedF16>(|v| RaisedF16::raise(f16(v)).unwrap(), tokens, inputs, outputs);
        }
    }
}
