//! Exponentials on four lanes.
//!
//! `2^x`: x is cut into its floor n and a fraction f in [0, 1); 2^f is a polynomial of degree 6 (relative error
//! 1.9e-9 before rounding, found by reweighted least squares), and 2^n is made by moving n + 127 into the exponent.
//! Clamping x to [-127, 128] makes that factor 0 or infinity at the ends, so that results below 2^-126 become 0,
//! those above the largest f32 become infinity, and a NaN stays one.

use crate::lanes::F32x4;

pub const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// ln 2 in two parts; the first has 9 significant bits, so that its product with n is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;
const POLYNOMIAL: [f32; 7] = [
    1.0,
    0.693_147,
    0.240_229_83,
    0.055_483_34,
    0.009_678_841,
    0.001_243_969,
    0.000_217_022_49,
];
/// Adding it leaves n + 127 in the low bits of the sum.
const EXPONENT: f32 = 12_582_912.0 + 127.0;

#[inline(always)]
fn scale_by(f: F32x4, n: F32x4) -> F32x4 {
    let mut p = F32x4::splat(POLYNOMIAL[6]);
    p = p.mul_add(f, F32x4::splat(POLYNOMIAL[5]));
    p = p.mul_add(f, F32x4::splat(POLYNOMIAL[4]));
    p = p.mul_add(f, F32x4::splat(POLYNOMIAL[3]));
    p = p.mul_add(f, F32x4::splat(POLYNOMIAL[2]));
    p = p.mul_add(f, F32x4::splat(POLYNOMIAL[1]));
    p = p.mul_add(f, F32x4::splat(POLYNOMIAL[0]));
    p * (n + F32x4::splat(EXPONENT)).low_bits_to_exponent()
}

/// `2^x`; relative error at most 2^-22 where the result is a normal number.
#[inline(always)]
pub fn exp2(x: F32x4) -> F32x4 {
    let x = x.at_least(F32x4::splat(-127.0)).at_most(F32x4::splat(128.0));
    let n = x.floor();
    scale_by(x - n, n)
}

/// `e^x`; relative error at most 2^-22 where the result is a normal number; 0 below, infinity above, NaN of NaN.
#[inline(always)]
pub fn exp(x: F32x4) -> F32x4 {
    let x = x.at_least(F32x4::splat(-88.0)).at_most(F32x4::splat(88.8));
    let n = (x * F32x4::splat(LOG2_E)).floor();
    let r = x - n * F32x4::splat(LN2_HIGH) - n * F32x4::splat(LN2_LOW);
    scale_by(r * F32x4::splat(LOG2_E), n)
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub fn silu(x: F32x4) -> F32x4 {
    x / (F32x4::splat(1.0) + exp(F32x4::zero() - x))
}

/// `log(1 + e^x)`, and x itself above 20. With e = e^-|x| it is `max(x, 0) + 2 atanh(e / (2 + e))`, an odd series that
/// keeps its relative precision where e is small.
#[inline(always)]
pub fn softplus(x: F32x4) -> F32x4 {
    let e = exp(F32x4::zero() - x.abs());
    let s = e / (e + F32x4::splat(2.0));
    let s2 = s * s;
    let mut p = F32x4::splat(0.140_891_63);
    p = p.mul_add(s2, F32x4::splat(0.139_803_02));
    p = p.mul_add(s2, F32x4::splat(0.200_124_55));
    p = p.mul_add(s2, F32x4::splat(0.333_331_58));
    p = p.mul_add(s2, F32x4::splat(1.0));
    let soft = x.at_least(F32x4::zero()) + (s + s) * p;
    x.where_greater(F32x4::splat(20.0), x, soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(f: fn(F32x4) -> F32x4, x: f32) -> f32 {
        f(F32x4::splat(x)).to_array()[0]
    }

    /// The largest relative error against f64, over every 97th f32 of an interval on one side of zero.
    fn worst(f: fn(F32x4) -> F32x4, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let (a, b) = (from.to_bits(), to.to_bits());
        (a.min(b)..=a.max(b))
            .step_by(97)
            .map(|bits| {
                let x = f32::from_bits(bits);
                let e = exact(x as f64);
                ((one(f, x) as f64 - e) / e).abs()
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_2_to_minus_22() {
        let bound = 2f64.powi(-22);
        for (from, to) in [(1e-6, 88.722), (-1e-6, -87.336)] {
            let e = worst(exp, f64::exp, from, to);
            println!("exp {from} to {to}: 2^{:.2}", e.log2());
            assert!(e <= bound);
        }
        for (from, to) in [(1e-6, 127.999), (-1e-6, -126.0)] {
            let e = worst(exp2, f64::exp2, from, to);
            println!("exp2 {from} to {to}: 2^{:.2}", e.log2());
            assert!(e <= bound);
        }
    }

    #[test]
    fn exp_at_its_ends() {
        for f in [exp, exp2] {
            assert_eq!(one(f, 0.0), 1.0);
            assert_eq!(one(f, f32::NEG_INFINITY), 0.0);
            assert_eq!(one(f, -200.0), 0.0);
            assert_eq!(one(f, f32::INFINITY), f32::INFINITY);
            assert_eq!(one(f, 129.0), f32::INFINITY);
            assert!(one(f, f32::NAN).is_nan());
            assert!(one(f, f32::from_bits(0x7fff_ffff)).is_nan());
        }
        assert!(one(exp, 88.722).is_finite());
        assert_eq!(one(exp, 88.73), f32::INFINITY);
        assert_eq!(one(exp, -88.0), 0.0);
    }

    #[test]
    fn softplus_is_within_2_to_minus_21() {
        let exact = |x: f64| if x > 20.0 { x } else { x.exp().ln_1p() };
        for (from, to) in [(1e-6, 100.0), (-1e-6, -87.0)] {
            let e = worst(softplus, exact, from, to);
            println!("softplus {from} to {to}: 2^{:.2}", e.log2());
            assert!(e <= 2f64.powi(-21));
        }
        assert_eq!(one(softplus, 100.0), 100.0);
        assert_eq!(one(softplus, -100.0), 0.0);
        assert_eq!(one(softplus, f32::INFINITY), f32::INFINITY);
        assert_eq!(one(softplus, f32::NEG_INFINITY), 0.0);
        assert!(one(softplus, f32::NAN).is_nan());
    }

    #[test]
    fn silu_is_within_2_to_minus_21() {
        let exact = |x: f64| x / (1.0 + (-x).exp());
        for (from, to) in [(1e-6, 100.0), (-1e-6, -87.0)] {
            assert!(worst(silu, exact, from, to) <= 2f64.powi(-21));
        }
        assert_eq!(one(silu, -1000.0), 0.0);
        assert_eq!(one(silu, f32::INFINITY), f32::INFINITY);
        assert!(one(silu, f32::NEG_INFINITY).is_nan());
        assert!(one(silu, f32::NAN).is_nan());
    }
}
