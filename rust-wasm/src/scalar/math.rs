/// ln(1 + e^x), without overflow, and exact (x itself) above 20.
pub fn softplus(x: f32) -> f32 {
    if x > 20.0 {
        x
    } else {
        x.exp().ln_1p()
    }
}

/// The derivative of [`softplus`].
pub fn softplus_slope(x: f32) -> f32 {
    if x > 20.0 {
        1.0
    } else {
        sigmoid(x)
    }
}

/// 1 / (1 + e^-x).
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// 1 + x right of 0, 1 / (1 - x) left of it: Mamba-3's decay rate.
pub fn heavy_tail(x: f32) -> f32 {
    if x >= 0.0 {
        1.0 + x
    } else {
        1.0 / (1.0 - x)
    }
}

/// x / (1 + e^-x).
pub fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

/// erf(x) by Abramowitz & Stegun 7.1.26, absolute error 1.5e-7: 1 - (a1 t + .. + a5 t^5) e^-x^2, t = 1 / (1 + p |x|).
pub fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + ERF_P * x.abs());
    let series = ERF_A.iter().rev().fold(0.0, |sum, a| (sum + a) * t);
    (1.0 - series * (-x * x).exp()).copysign(x)
}

pub const ERF_P: f32 = 0.327_591_1;
pub const ERF_A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_8, -1.453_152_1, 1.061_405_4];
/// 2 sqrt(2 / pi), and that times 0.044715: the two terms of the tanh form's argument, twice.
pub const GELU_TANH: [f32; 2] = [1.595_769_2, 0.071_354_82];

/// x / 2 (1 + erf(x / sqrt 2)), or its tanh form: (1 + tanh u) / 2 = 1 / (1 + e^-2u).
pub fn gelu(x: f32, tanh: bool) -> f32 {
    if tanh {
        x / (1.0 + (-x * (GELU_TANH[0] + GELU_TANH[1] * x * x)).exp())
    } else {
        0.5 * x * (1.0 + erf(x * core::f32::consts::FRAC_1_SQRT_2))
    }
}

/// The largest magnitude; infinity is larger than any number, and NaN than infinity.
/// # Safety
/// `p` points to `count` readable f32.
pub unsafe fn largest(p: *const f32, count: usize) -> f32 {
    f32::from_bits((0..count).map(|i| (*p.add(i)).abs().to_bits()).max().unwrap_or(0))
}
